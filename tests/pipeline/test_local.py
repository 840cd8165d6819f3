import re
from pathlib import Path

import pytest
import yaml

from components.train.model import BACKBONES
from pipeline.compiled import PIPELINE_YAML, step_tasks
from pipeline.local import _IMAGENET_FILES, _IMAGENET_URL, default_weights, without_retries


def test_a_local_run_uses_the_committed_file_without_retries() -> None:
    text = PIPELINE_YAML.read_text(encoding="utf-8")
    committed = list(yaml.safe_load_all(text))
    assert all(task.pop("retryPolicy") for task in step_tasks(committed[0]).values())
    assert list(yaml.safe_load_all(without_retries(text))) == committed


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network access, and an empty Keras cache."""
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens on the discard port


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", BACKBONES)
def test_imagenet_weights_have_the_address_that_keras_uses(name: str) -> None:
    with pytest.raises(Exception, match=re.escape(_IMAGENET_URL + _IMAGENET_FILES[name])):
        BACKBONES[name].make(include_top=False, weights="imagenet", input_shape=(75, 75, 3))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("recipe", "backbone", "named"), [("paper", "", "inception_resnet_v2"), ("strong", "densenet121", "densenet121")]
)
def test_a_run_starts_from_random_weights_if_none_can_be_downloaded(
    tmp_path: Path, recipe: str, backbone: str, named: str
) -> None:
    weights, reason = default_weights(recipe, backbone)
    assert weights == "none"
    assert reason.startswith(f"the ImageNet weights of {named} cannot be downloaded here")
    cached = tmp_path / "models" / Path(_IMAGENET_FILES[named]).name
    cached.parent.mkdir()
    cached.touch()
    assert default_weights(recipe, backbone) == ("imagenet", "")
