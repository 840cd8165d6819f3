"""`runs`: shows the runs on a cluster."""

import datetime
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from components.runtime.wording import duration_of
from pipeline.cluster import FINISHED, Cluster
from pipeline.cluster_steps import Step, read_steps
from pipeline.commands.cluster_runs import (
    STOPPED,
    RunSummary,
    coloured,
    minute,
    print_table,
    say_failure,
    summarise,
    wait_for,
)
from pipeline.commands.options import Host, Namespace, Wait
from pipeline.commands.output import console, reported
from pipeline.compiled import load_steps

app = typer.Typer(no_args_is_help=True, help="Shows the runs on a cluster.")


@app.command("list")
def list_runs(
    host: Host = "",
    namespace: Namespace = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="The number of runs.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
) -> None:
    """Lists the runs, the newest first, with the current or failed step and the schedule of each."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        summaries = summarise(cluster, cluster.runs(limit))
        if as_json:
            typer.echo(json.dumps([asdict(summary) for summary in summaries], indent=2))
            return
        table = Table("Run", "State", "Started", "Took", "Schedule", "Id", box=None, pad_edge=False)
        for run in summaries:
            started = datetime.datetime.fromisoformat(run.started)
            took = duration_of(run.duration_s) if run.finished else ""
            table.add_row(escape(run.name), _state(run), minute(started), took, escape(run.schedule), run.id)
        print_table(table, "There are no runs.")


def _state(run: RunSummary) -> str:
    if run.waiting_s:
        return f"{run.step} has waited {duration_of(run.waiting_s)} to start"
    return f"{coloured(run.state)}{f' in {run.step}' if run.step else ''}"


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run's id.", show_default="the newest")] = "",
    host: Host = "",
    namespace: Namespace = "",
    wait: Wait = False,
) -> None:
    """Shows the parameters and the steps of a run, and the end of a failed step's log.

    The column Waited is how long a step's pods waited for a node and their image, as seen by Kubeflow Pipelines. The log is
    read from the pod with kubectl's credentials, or from the object store; else the command that shows it is printed.
    """
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        run = cluster.run(run_id)
        is_over = run.state in FINISHED
        took = f", for {duration_of((run.finished_at - run.created_at).total_seconds())}" if is_over and run.finished_at else ""
        console.print(f"[bold]{escape(run.display_name)}[/]: {coloured(run.state)}, since {minute(run.created_at)}{took}")
        console.print(f"Its page: {cluster.page(run)}")
        if parameters := run.runtime_config and run.runtime_config.parameters:
            console.print("Parameters: " + escape(" ".join(f"{key}={value}" for key, value in parameters.items())))
        steps = read_steps(run, load_steps())
        table = Table("Step", "State", "Started", "Attempts", "Waited", "Took", box=None, pad_edge=False)
        for step in steps:
            table.add_row(*_row(step, is_over))
        print_table(table, "There are no steps.")
        if waiting := next((step for step in steps if step.state == "PENDING" and not is_over), None):
            _say_why_it_waits(waiting, cluster.pod_namespace)
        if wait:
            wait_for(cluster, run.run_id)
        elif run.state == "FAILED":
            say_failure(cluster, run)


def _row(step: Step, is_over: bool) -> tuple[str, ...]:
    if not step.started:
        return step.name, "not run" if is_over else "not yet run", "", "", "", ""
    now = datetime.datetime.now(datetime.UTC)
    waited = step.waited(now)
    took = duration_of(((step.ended or now) - step.started).total_seconds()) + ("" if step.ended else " so far")
    return (
        step.name,
        coloured(step.state),
        minute(step.started),
        str(len(step.attempts)),
        duration_of(waited.total_seconds()) if waited else "",
        took,
    )


def _say_why_it_waits(step: Step, namespace: str) -> None:
    console.print(
        f"{step.name} is waiting for a node or for its image. If no node has room for it, this shows why:\n"
        f"  kubectl -n {namespace} get events --field-selector reason=FailedScheduling",
        markup=False,
    )
