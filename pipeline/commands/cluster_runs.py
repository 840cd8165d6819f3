"""Shows runs on a cluster and waits for them, for several commands."""

import datetime
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.runtime.wording import duration_of
from pipeline.cluster import FINISHED, Cluster
from pipeline.cluster_steps import Step, failed_step, read_steps
from pipeline.commands.output import console
from pipeline.compiled import load_steps
from pipeline.kfp_client import ClusterError
from pipeline.preflight.finding import NotCheckedError
from pipeline.step_log import read_log_end

STOPPED = "Stopped here. Runs on the cluster continue."


@dataclass(frozen=True)
class RunSummary:
    """The state of a run, as in `runs list`.

    Attributes:
        id: Its id.
        name: Its name.
        state: Kubeflow Pipelines' state.
        step: The current or failed step; empty if there is none.
        attempts: The number of attempts at that step.
        waiting_s: How long the pod of that step has been waiting for a node or its image; 0 if it is not waiting.
        started: When it was created: ISO 8601, UTC.
        finished: When it ended; empty while it is running.
        duration_s: How long it took, or has been running.
        schedule: The name of the schedule that started it, or the id of a deleted one; empty if none did.
        page: The address of its page.
    """

    id: str
    name: str
    state: str
    step: str
    attempts: int
    waiting_s: int
    started: str
    finished: str
    duration_s: int
    schedule: str
    page: str


def summarise(cluster: Cluster, runs: list[Any]) -> list[RunSummary]:
    """Summarises runs."""
    is_scheduled = any(run.recurring_run_id for run in runs)
    names = {found.recurring_run_id: found.display_name for found in cluster.schedules()} if is_scheduled else {}
    return [_summary(run, names.get(run.recurring_run_id, run.recurring_run_id or ""), cluster.page(run)) for run in runs]


def _summary(run: Any, schedule: str, page: str) -> RunSummary:
    steps = read_steps(run, load_steps())
    at = failed_step(steps) or next((step for step in steps if step.state in ("PENDING", "RUNNING")), None)
    now = datetime.datetime.now(datetime.UTC)
    is_over = run.state in FINISHED
    waiting = at.attempts[-1].waited(now) if at and at.state == "PENDING" and not is_over else datetime.timedelta()
    return RunSummary(
        id=run.run_id,
        name=run.display_name,
        state=run.state or "PENDING",
        step=at.name if at else "",
        attempts=len(at.attempts) if at else 0,
        waiting_s=int(waiting.total_seconds()),
        started=run.created_at.isoformat(),
        finished=run.finished_at.isoformat() if is_over and run.finished_at else "",
        duration_s=int(((run.finished_at if is_over and run.finished_at else now) - run.created_at).total_seconds()),
        schedule=schedule,
        page=page,
    )


def say_started(cluster: Cluster, run: Any) -> None:
    """Prints that a run was started, and the address of its page."""
    console.print(f"Run {escape(run.display_name)} was started (id {run.run_id}).")
    console.print(f"Its page: {cluster.page(run)}")


def wait_for(cluster: Cluster, run_id: str) -> None:
    """Shows each step's state as it changes, and fails if the run does."""
    shown: dict[str, str] = {}

    def show_changes(run: Any) -> None:
        for step in read_steps(run, load_steps()):
            if step.state and shown.get(step.name) != step.state:
                shown[step.name] = step.state
                console.print(f"  {step.name}: {coloured(step.state)}")

    run = cluster.wait(run_id, show_changes)
    took_s = (run.finished_at - run.created_at).total_seconds()
    console.print(f"The run is over: {coloured(run.state)}, after {duration_of(took_s)}.")
    if run.state != "SUCCEEDED":
        step = say_failure(cluster, run)
        raise ClusterError(f"{step.name} failed." if step else f"No step failed: see {cluster.page(run)}")


def say_failure(cluster: Cluster, run: Any) -> Step | None:
    """Shows the end of the failed step's log, or where to find it. Returns the step, if there is one."""
    step = failed_step(read_steps(run, load_steps()))
    if step:
        try:
            log = read_log_end(run, step, cluster.pod_namespace)
            console.print(f"The end of the log of {step.name}, attempt {len(step.attempts)}:")
            console.print(log.rstrip(), markup=False)
        except NotCheckedError as error:
            console.print(str(error), markup=False)
    return step


def print_table(table: Table, if_empty: str) -> None:
    """Shows each row in one line, even in a narrow terminal, so that ids can be copied."""
    if table.row_count:
        Console(width=max(console.width, 160), highlight=False).print(table)
    else:
        console.print(if_empty)


def coloured(state: str | None) -> str:
    """A state in its colour."""
    state = state or "PENDING"
    colour = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "red"}.get(state)
    return f"[{colour}]{state.lower()}[/]" if colour else state.lower()


def minute(time_: Any) -> str:
    """A time to the minute; empty without one."""
    return f"{time_:%Y-%m-%d %H:%M}" if time_ else ""
