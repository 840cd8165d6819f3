"""A step that is process 1 of its container, and is told to stop in the middle of its work."""

import os
from pathlib import Path
from typing import Any

import docker
import pytest

from pipeline.compiled import load_steps
from tests.containers.engine import PipelineRun, afresh, started, wait_until_it_says

pytestmark = pytest.mark.containers

# More than a step can do before it is stopped, and what it says when it is in the middle of that.
_WORK: dict[str, tuple[dict[str, Any], str]] = {
    "ingest": ({"source": "synthetic:5000"}, "/5000 samples"),
    "convert": ({}, "convert | started"),
    "train": ({"epochs": 1000}, " images/s"),
    "evaluate": ({}, "evaluate | started"),
    "push": ({}, "push | started"),
}


@pytest.mark.parametrize("step", load_steps())
def test_a_step_that_is_told_to_stop_does_so_before_it_is_killed(
    images: docker.DockerClient, pipeline_run: PipelineRun, tmp_path: Path, step: str
) -> None:
    parameters, sign = _WORK[step]
    executor_input = afresh(pipeline_run, step, tmp_path, **parameters)
    if step == "push":
        _never_give(executor_input["inputs"]["artifacts"]["thresholds"]["artifacts"][0], tmp_path)
    with started(images, step, executor_input, pipeline_run, tmp_path) as container:
        wait_until_it_says(container, sign)
        container.stop(timeout=10)  # SIGTERM; and SIGKILL, which would make the exit code 137, if it is not over by then
        exit_code = container.wait()["StatusCode"]
        assert exit_code == 143, container.logs().decode()
    assert not list(tmp_path.glob(f"outputs/*/{step}/executor_output.json"))


def _never_give(artifact: dict[str, Any], folder: Path) -> None:
    """Puts a pipe that nobody writes to in the place of an artifact: reading it never ends."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    artifact["uri"] = str(pipe)
