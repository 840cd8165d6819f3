"""The command `python -m pipeline preflight`."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.compiled import PIPELINE_YAML
from pipeline.preflight import data, placement, registry, server
from pipeline.preflight.cluster import open_cluster
from pipeline.preflight.finding import Check, FailedError, Finding, Verdict, begin, run_checks
from pipeline.preflight.submission import Submission, read_submission

_STYLES = {Verdict.OK: "green", Verdict.FAILED: "bold red", Verdict.COULD_NOT_LOOK: "yellow"}
_EXPLAINED_IN = "docs/cluster.md"


def preflight(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="As they will be submitted.")] = None,
    host: Annotated[
        str,
        typer.Option(envvar=["KFP_HOST", "KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT"], help="Where Kubeflow Pipelines answers."),
    ] = "",
    file: Annotated[
        Path, typer.Option(help="The compiled pipeline that will be submitted.", show_default=PIPELINE_YAML.name)
    ] = PIPELINE_YAML,
    namespace: Annotated[str, typer.Option(help="Where the pods will run.")] = "kubeflow",
    token: Annotated[str, typer.Option(envvar="KFP_EXISTING_TOKEN", help="A bearer token for the host, if it wants one.")] = "",
    context: Annotated[str, typer.Option(help="Of the kubeconfig; empty means the current one.")] = "",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a check may take.")] = 60.0,
) -> None:
    """Looks for what would fail on the cluster an hour after submitting: nothing is started and nothing is left behind.

    Each check says ok, FAILED with what to do, or that it could not look. The exit status is 1 if one failed.

    Example: python -m pipeline preflight source=synthetic:450 data_root=gs://my-bucket/hpa
    serving_root=gs://my-bucket/models --host http://localhost:8080 --file cluster.yaml
    """
    console = Console(file=sys.stdout, highlight=False)
    try:
        submission = read_submission(file, arguments or [])
    except (ValueError, OSError) as error:
        Console(stderr=True, highlight=False).print(escape(str(error)), style="red", soft_wrap=True)
        raise typer.Exit(1) from None
    logging.disable(logging.CRITICAL)  # libraries tell of every try
    warnings.simplefilter("ignore")
    with console.status("looking"):  # shows nothing where this is no terminal
        findings = run_checks(_checks(submission, host, namespace, token, context, timeout), timeout)
    _show(findings, console)
    raise typer.Exit(1 if any(finding.verdict == Verdict.FAILED for finding in findings) else 0)


def _checks(submission: Submission, host: str, namespace: str, token: str, context: str, timeout_s: float) -> dict[str, Check]:
    """The checks in the order in which they are shown."""
    # What asks a process of its own gives up a little sooner, to tell its last words.
    ask_timeout_s = 0.9 * timeout_s
    size = begin(lambda: data.survey_source(submission, ask_timeout_s))
    cluster = begin(lambda: open_cluster(context))
    return {
        "parameters": lambda: _check_parameters(submission),
        "API server": lambda: server.check_server(host, namespace, token),
        "images": lambda: registry.check_images(submission),
        "GPU nodes": lambda: placement.check_gpu_nodes(submission, cluster.result()),
        "room on nodes": lambda: placement.check_room(submission, cluster.result()),
        "secrets": lambda: placement.check_secrets(submission, cluster.result(), namespace),
        "source": lambda: data.check_source(submission, size),
        "data and models": lambda: data.check_places(submission, ask_timeout_s),
        "disk": lambda: data.check_data_fits(submission, size, cluster.result()),
    }


def _check_parameters(submission: Submission) -> str:
    if submission.missing:
        raise FailedError(f"{', '.join(submission.missing)}: required, and not given. Give them as NAME=VALUE")
    return "every one has a value that it may have"


def _show(findings: list[Finding], console: Console) -> None:
    if console.is_terminal:
        table = Table("Check", "", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for finding in findings:
            table.add_row(finding.check, f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]", escape(finding.text))
        console.print(table)
    else:
        for finding in findings:
            print(f"{finding.verdict}: {finding.check}: {finding.text}")
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    console.print(f"{said}. {_EXPLAINED_IN} says what each line means.", soft_wrap=True)
