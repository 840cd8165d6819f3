import json
import shutil
from pathlib import Path

import pytest

from components.push.registry import push_model
from components.shared.manifest import MODEL_MANIFEST, TrainedModel


def _model(folder: Path, fingerprint: str) -> Path:
    """Files in a SavedModel's layout: push reads no TensorFlow."""
    manifest = TrainedModel(
        fingerprint=fingerprint,
        inputs={},
        parameters={},
        source="test",
        licence="none",
        class_names=["a", "b"],
        channels=["red"],
        image_size_px=75,
        epochs_trained=1,
        best_epoch=1,
        metrics={},
    )
    for name, content in {
        "saved_model.pb": b"graph " + fingerprint.encode(),
        "variables/variables.index": b"index",
        "assets/thresholds.csv": b"0.5\n0.5\n",
        "assets/classes.csv": b"a\nb\n",
        MODEL_MANIFEST: manifest.to_json(),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_push_makes_a_version_with_the_fitted_thresholds_and_the_champions_pointer(tmp_path: Path) -> None:
    version = push_model(_model(tmp_path / "m", "f1"), [0.25, 0.75], "e1", str(tmp_path / "serving"), "hpa")
    folder = tmp_path / "serving" / "hpa" / "1"
    assert (version.number, version.uri, version.is_new) == (1, str(folder), True)
    assert (folder / "assets" / "thresholds.csv").read_text() == "0.25\n0.75\n"
    for name in ("saved_model.pb", "variables/variables.index", "assets/classes.csv", MODEL_MANIFEST):
        assert (folder / name).read_bytes() == (tmp_path / "m" / name).read_bytes()
    champion = json.loads((tmp_path / "serving" / "hpa" / "champion.json").read_text())
    assert champion == {"version": 1, "model_fingerprint": "f1", "evaluation_fingerprint": "e1"}


def test_the_same_model_never_gets_two_versions_and_another_gets_the_next(tmp_path: Path) -> None:
    serving = str(tmp_path / "serving")
    first, second = _model(tmp_path / "m1", "f1"), _model(tmp_path / "m2", "f2")
    versions = [push_model(model, [0.5, 0.5], "e", serving, "hpa") for model in (first, first, second, first)]
    assert [(version.number, version.is_new) for version in versions] == [(1, True), (1, False), (2, True), (1, False)]
    assert sorted(path.name for path in Path(serving, "hpa").iterdir()) == ["1", "2", "champion.json"]


def test_a_push_that_was_killed_is_completed_under_the_same_version(tmp_path: Path) -> None:
    model, serving = _model(tmp_path / "m", "f1"), tmp_path / "serving"
    push_model(model, [0.5, 0.5], "e", str(serving), "hpa")
    (serving / "hpa" / "1" / "saved_model.pb").unlink()
    shutil.rmtree(serving / "hpa" / "1" / "variables")
    (serving / "hpa" / "champion.json").unlink()
    assert push_model(model, [0.5, 0.5], "e", str(serving), "hpa").number == 1
    assert (serving / "hpa" / "1" / "variables" / "variables.index").is_file()
    assert (serving / "hpa" / "1" / "saved_model.pb").is_file()


def test_what_is_no_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "serving" / "hpa" / "notes").mkdir(parents=True)
    (tmp_path / "serving" / "hpa" / "7").mkdir()
    version = push_model(_model(tmp_path / "m", "f1"), [0.5, 0.5], "e", str(tmp_path / "serving"), "hpa")
    assert version.number == 8


def test_thresholds_must_fit_the_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one threshold for each of 2 classes"):
        push_model(_model(tmp_path / "m", "f1"), [0.5], "e", str(tmp_path / "serving"), "hpa")
