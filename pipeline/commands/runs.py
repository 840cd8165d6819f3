"""`runs`: the runs on a cluster."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.cluster import Cluster
from pipeline.commands.cluster_runs import STOPPED, coloured, duration, minute, print_table, tasks_of, wait_for
from pipeline.commands.options import Host, Namespace, Wait
from pipeline.commands.output import console, reported

app = typer.Typer(no_args_is_help=True, help="Shows the runs on a cluster.")


@app.command("list")
def list_runs(
    host: Host = "", namespace: Namespace = "", limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20
) -> None:
    """Lists the runs, the newest first."""
    with reported(STOPPED):
        table = Table("Run", "State", "Started", "Took", "Id", box=None, pad_edge=False)
        for run in Cluster(host, namespace).runs(limit):
            took = duration(run.created_at, run.finished_at)
            table.add_row(escape(run.display_name), coloured(run.state), minute(run.created_at), took, run.run_id)
        print_table(table, "There are no runs.")


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run's id.", show_default="the newest")] = "",
    host: Host = "",
    namespace: Namespace = "",
    wait: Wait = False,
) -> None:
    """Shows how far a run is, what went wrong, and its parameters."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        run = cluster.run(run_id)
        console.print(f"[bold]{escape(run.display_name)}[/]: {coloured(run.state)}, since {minute(run.created_at)}")
        console.print(f"Its page: {cluster.page(run)}")
        if parameters := run.runtime_config and run.runtime_config.parameters:
            console.print("Parameters: " + escape(" ".join(f"{key}={value}" for key, value in parameters.items())))
        table = Table("Step", "State", "Took", "Error", box=None, pad_edge=False)
        for task in tasks_of(run):
            error = escape(task.error.message or "") if task.error else ""
            table.add_row(task.display_name, coloured(task.state), duration(task.start_time, task.end_time), error)
        print_table(table, "No step has started yet.")
        if wait:
            wait_for(cluster, run.run_id)
