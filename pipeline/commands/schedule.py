"""`schedule`: manages recurring runs on a cluster."""

import contextlib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.cluster import Cluster
from pipeline.commands.cluster_runs import STOPPED, minute, print_table, say_started, wait_for
from pipeline.commands.options import (
    Arguments,
    Digests,
    Experiment,
    File,
    Host,
    Namespace,
    Registry,
    ServiceAccount,
    Tag,
    Wait,
)
from pipeline.commands.output import console, reported
from pipeline.commands.submit import read_given, uploaded
from pipeline.compiled import PIPELINE_YAML
from pipeline.kfp_client import ClusterError

app = typer.Typer(no_args_is_help=True, help="Manages recurring runs of the pipeline on a cluster.")

_Schedule = Annotated[str, typer.Argument(help="Its name or id.")]
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}


@app.command("create", no_args_is_help=True)
def create_schedule(
    arguments: Arguments,
    cron: Annotated[
        str,
        typer.Option(
            help='Cron in UTC: minute, hour, day of month, month, day of week, such as "0 3 * * 1"; or six, seconds first.',
            show_default=False,
        ),
    ] = "",
    every: Annotated[str, typer.Option(help="Or the interval, such as 90m, 12h or 7d.", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="The schedule's name.")] = "retraining",
    host: Host = "",
    namespace: Namespace = "",
    experiment: Experiment = "hpa",
    service_account: ServiceAccount = "",
    file: File = PIPELINE_YAML,
    registry: Registry = "",
    tag: Tag = "",
    digests: Digests = None,
) -> None:
    """Creates a schedule. A run starts only after the previous one has ended, and missed runs are skipped.

    A run on unchanged data reuses all outputs, and is over in minutes once train has its node. `runs show` shows how long it
    waited.

    Example: python -m pipeline schedule create --every 7d source=dir:gs://b/images data_root=gs://b/hpa serving_root=gs://b/models
    """
    with reported(STOPPED):
        if bool(cron) == bool(every):
            raise ValueError('expected one of --cron and --every, such as --cron "0 3 * * 1" or --every 7d')
        every_s = _read_every(every) if every else 0
        given, text = read_given(arguments, file, registry, tag, digests)
        cluster = Cluster(host, namespace)
        version = uploaded(cluster, text)
        with _cron_explained(cron):
            made = cluster.create_schedule(version, name, experiment, given, _with_seconds(cron), every_s, service_account)
        console.print(f"Schedule {escape(name)} starts a run {_frequency(made.trigger)} (id {made.recurring_run_id}).")


@app.command("list")
def list_schedules(host: Host = "", namespace: Namespace = "") -> None:
    """Lists the schedules."""
    with reported(STOPPED):
        table = Table("Schedule", "Starts a run", "State", "Made", "Id", box=None, pad_edge=False)
        for found in Cluster(host, namespace).schedules():
            state = "active" if found.status == "ENABLED" else "paused"
            table.add_row(
                escape(found.display_name),
                escape(_frequency(found.trigger)),
                state,
                minute(found.created_at),
                found.recurring_run_id,
            )
        print_table(table, "There are no schedules.")


@app.command()
def pause(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Pauses a schedule. A current run continues."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        cluster.set_schedule(found := cluster.schedule(schedule), enabled=False)
        console.print(f"Schedule {escape(found.display_name)} is paused.")


@app.command()
def resume(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Resumes a paused schedule."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        cluster.set_schedule(found := cluster.schedule(schedule), enabled=True)
        console.print(f"Schedule {escape(found.display_name)} is active.")


@app.command()
def delete(schedule: _Schedule, host: Host = "", namespace: Namespace = "") -> None:
    """Deletes a schedule, but not its runs."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        cluster.delete_schedule(found := cluster.schedule(schedule))
        console.print(f"Schedule {escape(found.display_name)} is deleted; its runs are kept.")


@app.command("run-now")
def run_now(
    schedule: _Schedule,
    host: Host = "",
    namespace: Namespace = "",
    wait: Wait = False,
) -> None:
    """Starts a run of a schedule now."""
    with reported(STOPPED):
        cluster = Cluster(host, namespace)
        run = cluster.run_now(cluster.schedule(schedule))
        say_started(cluster, run)
        if wait:
            wait_for(cluster, run.run_id)


def _with_seconds(cron: str) -> str:
    """A cron expression for the server, whose first field is seconds. The server checks the rest."""
    return f"0 {' '.join(cron.split())}" if len(cron.split()) == 5 else cron


@contextlib.contextmanager
def _cron_explained(cron: str) -> Iterator[None]:
    """Explains the format of --cron if the server refuses it."""
    try:
        yield
    except ClusterError as error:
        if cron and error.status == 400 and "cron" in str(error):
            raise ClusterError(
                "--cron: expected minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-6, Sunday "
                f"is 0), or six fields, seconds first. Received: {cron}. The server says: {error}",
                error.status,
            ) from None
        raise


def _read_every(every: str) -> int:
    """Parses a number with a unit, such as 90m, to seconds."""
    match = re.fullmatch(r"([1-9]\d*)([mhd])", every)
    if not match:
        raise ValueError(f"--every: expected a number of minutes, hours or days, such as 90m, 12h or 7d. Received: {every}")
    return int(match[1]) * _UNITS_S[match[2]]


def _frequency(trigger: Any) -> str:
    """How often a schedule starts runs: a cron expression in the format of --cron, without seconds if they are 0."""
    if trigger.cron_schedule:
        return f"at {re.sub(r'^0 (?=(?:[^ ]+ ){4}[^ ]+$)', '', trigger.cron_schedule.cron)} UTC"
    seconds = int(trigger.periodic_schedule.interval_second)
    for unit, unit_s in reversed(_UNITS_S.items()):
        if seconds % unit_s == 0:
            return f"every {seconds // unit_s} {unit}"
    return f"every {seconds} s"
