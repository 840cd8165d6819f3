"""The commands that talk to a cluster: `submit`, `schedule` and `runs`."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.runtime.container import REGISTRY
from pipeline.cluster import Cluster
from pipeline.cluster_arguments import read_arguments
from pipeline.compiled import PIPELINE_YAML, load_steps
from pipeline.container_images import read_digests, with_images
from pipeline.kfp_client import ClusterError
from pipeline.named_files import read_compiled
from pipeline.times import read_times, word_frequency

schedule_app = typer.Typer(no_args_is_help=True, help="Lets a cluster run the pipeline again and again.")
runs_app = typer.Typer(no_args_is_help=True, help="Shows the runs on a cluster.")
_console = Console(highlight=False, soft_wrap=True)

Host = Annotated[
    str,
    typer.Option(
        envvar=["KFP_HOST", "KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"],
        help="The address of Kubeflow Pipelines; by default where this runs, or the current kubectl context's cluster.",
        show_default=False,
    ),
]
Namespace = Annotated[str, typer.Option(envvar="KFP_NAMESPACE", help="Yours, where users have their own.", show_default=False)]
_Arguments = Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="The pipeline's parameters.")]
_Experiment = Annotated[str, typer.Option(help="The experiment that runs are listed under; made if there is none.")]
_ServiceAccount = Annotated[
    str, typer.Option(help="The Kubernetes service account of the pods; by default the cluster's.", show_default=False)
]
_File = Annotated[Path, typer.Option(help="The compiled pipeline.", show_default=PIPELINE_YAML.name)]
_Registry = Annotated[str, typer.Option(help="As of `compile`: where the images are.", show_default=False)]
_Tag = Annotated[str, typer.Option(help="As of `compile`: the images' tag.", show_default=False)]
_Digests = Annotated[Path | None, typer.Option(help="As of `compile`: pins the images.", show_default=False)]
_Schedule = Annotated[str, typer.Argument(help="Its name or id.")]


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ClusterError, ValueError, OSError) as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.secho("Stopped here. What runs on the cluster goes on.", err=True, fg="red")
        raise typer.Exit(130) from None


def submit(
    arguments: _Arguments,
    host: Host = "",
    namespace: Namespace = "",
    experiment: _Experiment = "hpa",
    name: Annotated[str, typer.Option(help="The run's name.", show_default="hpa and the time")] = "",
    service_account: _ServiceAccount = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run's end; fail if it fails.")] = False,
    file: _File = PIPELINE_YAML,
    registry: _Registry = "",
    tag: _Tag = "",
    digests: _Digests = None,
) -> None:
    """Starts a run on a cluster.

    The parameters are checked as `run` does, and the pipeline is uploaded as a version named by its content, unless it is
    there already. Signing in is kfp's: a Google Cloud login, kubectl's, or a token in the variable KFP_EXISTING_TOKEN.

    Example: python -m pipeline submit --wait source=synthetic:450 data_root=gs://my-bucket/hpa serving_root=gs://my-bucket/models
    """
    with _one_line_errors():
        given, text = _given(arguments, file, registry, tag, digests)
        cluster = Cluster(host, namespace)
        version = _uploaded(cluster, text)
        run = cluster.start(version, name or time.strftime("hpa %Y-%m-%d %H:%M:%S"), experiment, given, service_account)
        _say_started(cluster, run)
        if wait:
            _wait(cluster, run.run_id)


@schedule_app.command("create", no_args_is_help=True)
def create_schedule(
    arguments: _Arguments,
    cron: Annotated[
        str,
        typer.Option(
            help='When, in UTC: minute, hour, day of month, month, day of week, such as "0 3 * * 1"; or six, seconds first.',
            show_default=False,
        ),
    ] = "",
    every: Annotated[str, typer.Option(help="Or how often, such as 90m, 12h or 7d.", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="The schedule's name.")] = "retraining",
    host: Host = "",
    namespace: Namespace = "",
    experiment: _Experiment = "hpa",
    service_account: _ServiceAccount = "",
    file: _File = PIPELINE_YAML,
    registry: _Registry = "",
    tag: _Tag = "",
    digests: _Digests = None,
) -> None:
    """Makes a schedule. No run starts before the last one is over, and what was missed is not made up for.

    A run on unchanged data finds all of it by its content, and is over in minutes.

    Example: python -m pipeline schedule create --every 7d source=dir:gs://b/images data_root=gs://b/hpa serving_root=gs://b/models
    """
    with _one_line_errors():
        cron, every_s = read_times(cron, every)
        given, text = _given(arguments, file, registry, tag, digests)
        cluster = Cluster(host, namespace)
        version = _uploaded(cluster, text)
        made = cluster.create_schedule(version, name, experiment, given, cron, every_s, service_account)
        _console.print(f"Schedule {escape(name)} starts a run {word_frequency(made.trigger)} (id {made.recurring_run_id}).")


@schedule_app.command("list")
def list_schedules(host: Host = "", namespace: Namespace = "") -> None:
    """Lists the schedules."""
    with _one_line_errors():
        table = Table("Schedule", "Starts a run", "State", "Made", "Id", box=None, pad_edge=False)
        for found in Cluster(host, namespace).schedules():
            state = "active" if found.status == "ENABLED" else "paused"
            table.add_row(
                found.display_name, word_frequency(found.trigger), state, _minute(found.created_at), found.recurring_run_id
            )
        _print_table(table, "There are no schedules.")


@schedule_app.command()
def pause(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Keeps a schedule from starting runs. One that runs goes on."""
    with _one_line_errors():
        cluster = Cluster(host, namespace)
        cluster.set_schedule(found := cluster.schedule(schedule), enabled=False)
        _console.print(f"Schedule {escape(found.display_name)} is paused.")


@schedule_app.command()
def resume(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Lets a paused schedule start runs again."""
    with _one_line_errors():
        cluster = Cluster(host, namespace)
        cluster.set_schedule(found := cluster.schedule(schedule), enabled=True)
        _console.print(f"Schedule {escape(found.display_name)} is active.")


@schedule_app.command()
def delete(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Deletes a schedule, and none of its runs."""
    with _one_line_errors():
        cluster = Cluster(host, namespace)
        cluster.delete_schedule(found := cluster.schedule(schedule))
        _console.print(f"Schedule {escape(found.display_name)} is deleted; its runs are still there.")


@schedule_app.command("run-now")
def run_now(
    schedule: _Schedule,
    host: Host = "",
    namespace: Namespace = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run's end; fail if it fails.")] = False,
) -> None:
    """Starts what a schedule would start, now."""
    with _one_line_errors():
        cluster = Cluster(host, namespace)
        run = cluster.run_now(cluster.schedule(schedule))
        _say_started(cluster, run)
        if wait:
            _wait(cluster, run.run_id)


@runs_app.command("list")
def list_runs(
    host: Host = "", namespace: Namespace = "", limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20
) -> None:
    """Lists the runs, the newest first."""
    with _one_line_errors():
        table = Table("Run", "State", "Started", "Took", "Id", box=None, pad_edge=False)
        for run in Cluster(host, namespace).runs(limit):
            took = _duration(run.created_at, run.finished_at)
            table.add_row(escape(run.display_name), _coloured(run.state), _minute(run.created_at), took, run.run_id)
        _print_table(table, "There are no runs.")


@runs_app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run's id.", show_default="the newest")] = "",
    host: Host = "",
    namespace: Namespace = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run's end; fail if it fails.")] = False,
) -> None:
    """Shows how far a run is, what went wrong, and its parameters."""
    with _one_line_errors():
        cluster = Cluster(host, namespace)
        run = cluster.run(run_id)
        _console.print(f"[bold]{escape(run.display_name)}[/]: {_coloured(run.state)}, since {_minute(run.created_at)}")
        _console.print(f"Its page: {cluster.page(run)}")
        if parameters := run.runtime_config and run.runtime_config.parameters:
            _console.print("Parameters: " + escape(" ".join(f"{key}={value}" for key, value in parameters.items())))
        table = Table("Step", "State", "Took", "Error", box=None, pad_edge=False)
        for task in _tasks(run):
            error = escape(task.error.message or "") if task.error else ""
            table.add_row(task.display_name, _coloured(task.state), _duration(task.start_time, task.end_time), error)
        _print_table(table, "No step has started yet.")
        if wait:
            _wait(cluster, run.run_id)


def _given(arguments: list[str], file: Path, registry: str, tag: str, digests: Path | None) -> tuple[dict[str, Any], str]:
    """The arguments, and the compiled pipeline with its images."""
    text = with_images(read_compiled(file), registry, tag, read_digests(digests) if digests else None)
    given = read_arguments(arguments, file)
    if f"image: {REGISTRY}/" in text:
        _console.print(
            f"The images are {REGISTRY}/...: the nodes must have them already. Else name a --registry.", style="yellow"
        )
    return given, text


def _uploaded(cluster: Cluster, text: str) -> Any:
    version = cluster.upload(text)
    _console.print(f"Version {version.name} of the pipeline {'is uploaded' if version.is_new else 'was there already'}.")
    return version


def _say_started(cluster: Cluster, run: Any) -> None:
    _console.print(f"Run {escape(run.display_name)} is started (id {run.run_id}).")
    _console.print(f"Its page: {cluster.page(run)}")


def _wait(cluster: Cluster, run_id: str) -> None:
    """Shows each step's state as it changes, and fails if the run does."""
    shown: dict[str, str] = {}

    def show_changes(run: Any) -> None:
        for task in _tasks(run):
            if task.state and shown.get(task.display_name) != task.state:
                shown[task.display_name] = task.state
                _console.print(f"  {task.display_name}: {_coloured(task.state)}")

    run = cluster.wait(run_id, show_changes)
    _console.print(f"The run is over: {_coloured(run.state)}, after {_duration(run.created_at, run.finished_at)}.")
    if run.state != "SUCCEEDED":
        errors = [f"{task.display_name}: {task.error.message}" for task in _tasks(run) if task.error and task.error.message]
        raise ClusterError("; ".join(errors) or f"No step says why; its page does: {cluster.page(run)}")


def _tasks(run: Any) -> list[Any]:
    """A run's steps in their order, without what KFP runs around them."""
    details = (run.run_details and run.run_details.task_details) or []
    by_name = {task.display_name: task for task in details}
    return [by_name[name] for name in (*load_steps(), "conclude") if name in by_name]


def _print_table(table: Table, if_empty: str) -> None:
    """Shows each row in one line, however narrow the terminal is: ids are there to be copied."""
    if table.row_count:
        Console(width=max(_console.width, 160), highlight=False).print(table)
    else:
        _console.print(if_empty)


def _coloured(state: str | None) -> str:
    state = state or "PENDING"
    colour = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "red"}.get(state)
    return f"[{colour}]{state.lower()}[/]" if colour else state.lower()


def _minute(time_: Any) -> str:
    return f"{time_:%Y-%m-%d %H:%M}" if time_ else ""


def _duration(start: Any, end: Any) -> str:
    """From one time to another; empty while it goes on: KFP then gives the year 1970."""
    if not start or not end or end < start:
        return ""
    minutes, seconds = divmod(int((end - start).total_seconds()), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
