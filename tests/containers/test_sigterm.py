"""A step that is process 1 of its container, and gets SIGTERM while it works."""

import os
from pathlib import Path
from typing import Any

import docker
import pytest

from pipeline.compiled import load_steps
from tests.containers.engine import PipelineRun, afresh, started, wait_until_it_says

pytestmark = pytest.mark.containers

# Parameters that give each step more work than it can finish, and a log message that it prints while working.
_WORK: dict[str, tuple[dict[str, Any], str]] = {
    "ingest": ({"source": "synthetic:5000"}, "/5000 samples"),
    "convert": ({}, "convert | started"),
    "train": ({"epochs": 1000}, " images/s"),
    "evaluate": ({}, "evaluate | started"),
    "push": ({}, "push | started"),
}


@pytest.mark.parametrize("step", load_steps())
def test_a_step_ends_after_sigterm_before_it_is_killed(
    images: docker.DockerClient, pipeline_run: PipelineRun, tmp_path: Path, step: str
) -> None:
    parameters, sign = _WORK[step]
    executor_input = afresh(pipeline_run, step, tmp_path, **parameters)
    if step == "push":
        _block_reading(executor_input["inputs"]["artifacts"]["thresholds"]["artifacts"][0], tmp_path)
    with started(images, step, executor_input, pipeline_run, tmp_path) as container:
        wait_until_it_says(container, sign)
        container.stop(timeout=10)  # SIGTERM, then SIGKILL if still running, with exit code 137
        exit_code = container.wait()["StatusCode"]
        assert exit_code == 143, container.logs().decode()
    assert not list(tmp_path.glob(f"outputs/*/{step}/executor_output.json"))


def _block_reading(artifact: dict[str, Any], folder: Path) -> None:
    """Replaces an artifact by a pipe without a writer, so that reading it never ends."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    artifact["uri"] = str(pipe)
