"""Each step in its container under the limits of a strict cluster, as a user unknown to the image."""

from pathlib import Path

import docker
import pytest

from pipeline.compiled import load_steps
from tests.containers.engine import PipelineRun, afresh, missing_outputs, started

pytestmark = pytest.mark.containers


@pytest.mark.parametrize("step", load_steps())
def test_a_step_needs_no_privileges_network_writable_root_or_more_memory_than_it_requests(
    images: docker.DockerClient, pipeline_run: PipelineRun, tmp_path: Path, step: str
) -> None:
    executor_input = afresh(pipeline_run, step, tmp_path)
    with started(images, step, executor_input, pipeline_run, tmp_path, user="54321:54321") as container:
        exit_code = container.wait()["StatusCode"]
        container.reload()
        assert exit_code == 0, container.logs().decode()
        assert not container.attrs["State"]["OOMKilled"]
    (outputs,) = tmp_path.glob(f"outputs/*/{step}")
    assert not missing_outputs(step, lambda name: outputs / name)
