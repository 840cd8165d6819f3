"""`preflight`: finds what would fail on the cluster, before submitting."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.runtime.background import begin
from pipeline.commands.options import HOST_VARIABLES, Digests, File, Registry, Tag
from pipeline.commands.output import reported
from pipeline.compiled import PIPELINE_YAML
from pipeline.container_images import read_digests
from pipeline.preflight import data, objects, pods, registry, retries, server
from pipeline.preflight.finding import Check, FailedError, Finding, Verdict, run_checks
from pipeline.preflight.kubernetes_api import open_cluster
from pipeline.preflight.submission import Submission, read_submission

_STYLES = {Verdict.OK: "green", Verdict.FAILED: "bold red", Verdict.NOT_CHECKED: "yellow"}


def preflight(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="The parameters to submit.")] = None,
    host: Annotated[str, typer.Option(envvar=HOST_VARIABLES, help="The address of Kubeflow Pipelines.")] = "",
    file: File = PIPELINE_YAML,
    registry: Registry = "",
    tag: Tag = "",
    digests: Digests = None,
    namespace: Annotated[str, typer.Option(envvar="KFP_NAMESPACE", help="The namespace of the pods.")] = "kubeflow",
    context: Annotated[str, typer.Option(help="The context in the kubeconfig; empty means the current one.")] = "",
    timeout: Annotated[float, typer.Option(min=1, help="The time limit of a check, in seconds.")] = 60.0,
) -> None:
    """Checks for problems that would make a run on the cluster fail an hour after submitting. Nothing is started.

    Each check reports ok, FAILED with what to do, or not checked with the reason. The exit status is 1 if one failed. If the
    server requires a token, it is taken from the variable KFP_EXISTING_TOKEN.

    Example: python -m pipeline preflight source=synthetic:450 data_root=gs://my-bucket/hpa
    serving_root=gs://my-bucket/models --host http://localhost:8080
    --registry registry.example.com/hpa
    """
    console = Console(file=sys.stdout, highlight=False)
    with reported():
        pinned = read_digests(digests) if digests else None
        submission = read_submission(file, arguments or [], registry, tag, pinned)
        with _silent_libraries(), console.status("looking"):  # shows nothing without a terminal
            findings = run_checks(_checks(submission, host, namespace, context, timeout), timeout)
    _show(findings, console)
    raise typer.Exit(1 if any(finding.verdict == Verdict.FAILED for finding in findings) else 0)


@contextlib.contextmanager
def _silent_libraries() -> Iterator[None]:
    """Keeps libraries from logging every attempt."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _checks(submission: Submission, host: str, namespace: str, context: str, timeout_s: float) -> dict[str, Check]:
    """The checks in the order in which they are shown."""
    # Checks in separate processes time out a little earlier, so that the last line written can be shown.
    ask_timeout_s = 0.9 * timeout_s
    size = begin(lambda: data.survey_source(submission, ask_timeout_s))
    cluster = begin(lambda: open_cluster(context))
    return {
        "parameters": lambda: _check_parameters(submission),
        "API server": lambda: server.check_server(submission, host, namespace),
        "images": lambda: registry.check_images(submission),
        "GPU nodes": lambda: pods.check_gpu_nodes(submission, cluster.result()),
        "room on nodes": lambda: pods.check_room(submission, cluster.result()),
        "retries": lambda: retries.check_retries(cluster.result(), namespace),
        "secrets": lambda: objects.check_objects(submission, cluster.result(), namespace),
        "source": lambda: data.check_source(submission, size),
        "weights": lambda: data.check_weights(submission),
        "data and models": lambda: data.check_places(submission, ask_timeout_s),
        "disk": lambda: data.check_data_fits(submission, size, lambda: cluster.result().nodes()),
    }


def _check_parameters(submission: Submission) -> str:
    if submission.missing:
        raise FailedError(f"{', '.join(submission.missing)}: required, and not given. Give them as NAME=VALUE")
    return "all values are valid"


def _show(findings: list[Finding], console: Console) -> None:
    if console.is_terminal:
        table = Table("Check", "", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for finding in findings:
            table.add_row(finding.check, f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]", escape(finding.text))
        console.print(table)
    else:
        for finding in findings:
            print(f"{finding.verdict}: {finding.check}: {'; '.join(finding.text.splitlines())}")
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    console.print(f"{said}. docs/preflight.md explains each line.", soft_wrap=True)
