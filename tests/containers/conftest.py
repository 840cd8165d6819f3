"""The images, built from the current code, and one run of the whole pipeline in them."""

import contextlib
import gc
import os
import subprocess
import warnings
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

from pipeline.compiled import ROOT
from tests.containers.engine import PipelineRun, run_pipeline


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """A client of the Docker engine."""
    if problem := _ask_engine():
        with warnings.catch_warnings():  # the client leaves failed connections to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        give_up = pytest.fail if os.environ.get("CONTAINER_ENGINE") else pytest.skip
        give_up(f"needs a Docker engine: {problem}")
    with contextlib.closing(docker.from_env()) as connected:
        yield connected


def _ask_engine() -> str:
    """The reason why no engine answers; empty if one does."""
    try:
        with contextlib.closing(docker.from_env()) as connected:
            connected.ping()
    except DockerException as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def images(client: docker.DockerClient) -> docker.DockerClient:
    """The client, once the images of all steps and the web server are built."""
    command = ["make", "-j2", "images", "serve-image", "CPU=1"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return client


@pytest.fixture(scope="session")
def pipeline_run(images: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> PipelineRun:
    """A run of the committed pipeline on synthetic images, up to a pushed model."""
    # The rule is relaxed so that a model trained for one epoch is pushed: its quality is not tested here.
    return run_pipeline(
        tmp_path_factory.mktemp("pipeline"),
        source="synthetic:40",
        image_size_px=75,
        weights="none",
        epochs=1,
        blessing_min_gain=-1.0,
    )
