"""`submit`: starts a run on a cluster."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cluster import Cluster, Version
from pipeline.cluster_arguments import read_arguments
from pipeline.commands.cluster_runs import STOPPED, say_started, wait_for
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
from pipeline.compiled import PIPELINE_YAML
from pipeline.container_images import read_digests, with_images
from pipeline.named_files import read_compiled


def submit(
    arguments: Arguments,
    host: Host = "",
    namespace: Namespace = "",
    experiment: Experiment = "hpa",
    name: Annotated[str, typer.Option(help="The run's name.", show_default="hpa and the time")] = "",
    service_account: ServiceAccount = "",
    wait: Wait = False,
    file: File = PIPELINE_YAML,
    registry: Registry = "",
    tag: Tag = "",
    digests: Digests = None,
) -> None:
    """Starts a run on a cluster.

    Parameters are checked as in `run`, and the pipeline is uploaded as a version named by its content, unless it exists
    already. Authentication is kfp's: a Google Cloud login, kubectl's, or a token in the variable KFP_EXISTING_TOKEN.

    Example: python -m pipeline submit --wait source=synthetic:450 data_root=gs://my-bucket/hpa serving_root=gs://my-bucket/models
    """
    with reported(STOPPED):
        given, text = read_given(arguments, file, registry, tag, digests)
        cluster = Cluster(host, namespace)
        version = uploaded(cluster, text)
        run = cluster.start(version, name or time.strftime("hpa %Y-%m-%d %H:%M:%S"), experiment, given, service_account)
        say_started(cluster, run)
        if wait:
            wait_for(cluster, run.run_id)


def read_given(arguments: list[str], file: Path, registry: str, tag: str, digests: Path | None) -> tuple[dict[str, Any], str]:
    """Reads the arguments, and the compiled pipeline with its images."""
    from components.runtime.container import REGISTRY

    text = with_images(read_compiled(file), registry, tag, read_digests(digests) if digests else None)
    given = read_arguments(arguments, file)
    if f"image: {REGISTRY}/" in text:
        console.print(
            f"The images are {REGISTRY}/...: the nodes must already have them. Otherwise give --registry.", style="yellow"
        )
    return given, text


def uploaded(cluster: Cluster, text: str) -> Version:
    """Uploads the compiled pipeline, unless the server has it already.

    Raises:
        ValueError: If the server is older than the pipeline needs.
    """
    if warning := cluster.check_release(text):
        console.print(warning, style="yellow")
    version = cluster.upload(text)
    console.print(f"Version {version.name} of the pipeline {'was uploaded' if version.is_new else 'already exists'}.")
    return version
