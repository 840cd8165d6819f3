"""Runs on a cluster, as several commands show them and wait for them."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.cluster import Cluster
from pipeline.commands.output import console
from pipeline.compiled import load_steps
from pipeline.kfp_client import ClusterError

STOPPED = "Stopped here. What runs on the cluster goes on."


def say_started(cluster: Cluster, run: Any) -> None:
    """Says that a run is started, and where its page is."""
    console.print(f"Run {escape(run.display_name)} is started (id {run.run_id}).")
    console.print(f"Its page: {cluster.page(run)}")


def wait_for(cluster: Cluster, run_id: str) -> None:
    """Shows each step's state as it changes, and fails if the run does."""
    shown: dict[str, str] = {}

    def show_changes(run: Any) -> None:
        for task in tasks_of(run):
            if task.state and shown.get(task.display_name) != task.state:
                shown[task.display_name] = task.state
                console.print(f"  {task.display_name}: {coloured(task.state)}")

    run = cluster.wait(run_id, show_changes)
    console.print(f"The run is over: {coloured(run.state)}, after {duration(run.created_at, run.finished_at)}.")
    if run.state != "SUCCEEDED":
        errors = [f"{task.display_name}: {task.error.message}" for task in tasks_of(run) if task.error and task.error.message]
        raise ClusterError("; ".join(errors) or f"No step says why; its page does: {cluster.page(run)}")


def tasks_of(run: Any) -> list[Any]:
    """A run's steps in their order, without what KFP runs around them."""
    details = (run.run_details and run.run_details.task_details) or []
    by_name = {task.display_name: task for task in details}
    return [by_name[name] for name in (*load_steps(), "conclude") if name in by_name]


def print_table(table: Table, if_empty: str) -> None:
    """Shows each row in one line, however narrow the terminal is: ids are there to be copied."""
    if table.row_count:
        Console(width=max(console.width, 160), highlight=False).print(table)
    else:
        console.print(if_empty)


def coloured(state: str | None) -> str:
    """A state in the colour that fits it."""
    state = state or "PENDING"
    colour = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "red"}.get(state)
    return f"[{colour}]{state.lower()}[/]" if colour else state.lower()


def minute(time_: Any) -> str:
    """A time to the minute; empty for none."""
    return f"{time_:%Y-%m-%d %H:%M}" if time_ else ""


def duration(start: Any, end: Any) -> str:
    """From one time to another; empty while it goes on: KFP then gives the year 1970."""
    if not start or not end or end < start:
        return ""
    minutes, seconds = divmod(int((end - start).total_seconds()), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
