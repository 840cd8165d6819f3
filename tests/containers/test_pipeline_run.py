"""The committed pipeline under KFP's DockerRunner, judged by its artifacts rather than by KFP's status."""

import json

import pytest

from pipeline.compiled import load_steps
from tests.containers.engine import PipelineRun, image, missing_outputs

pytestmark = pytest.mark.containers


@pytest.mark.parametrize("step", load_steps())
def test_each_step_runs_in_its_image_and_writes_every_declared_output(pipeline_run: PipelineRun, step: str) -> None:
    assert f"Found image '{image(step)}'" in pipeline_run.said
    assert f"{step} | done in" in pipeline_run.said, pipeline_run.said
    assert not missing_outputs(step, lambda name: pipeline_run.output(step, name))


def test_the_model_is_pushed_to_the_serving_root(pipeline_run: PipelineRun) -> None:
    pushed = json.loads(pipeline_run.output("push", "pushed_model").read_text(encoding="utf-8"))
    assert pushed["pushed"], pushed["reasons"]
    assert (pipeline_run.folder / "serving" / "hpa" / "1" / "saved_model.pb").stat().st_size > 0
