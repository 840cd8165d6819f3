import shutil
from pathlib import Path

import numpy as np
import pytest

from components.artifacts.manifest import MODEL_EVALUATION, MODEL_THRESHOLDS
from components.serving.champion import Champion, promote
from components.serving.model import find_version, load_model, read_manifest
from tests.components.conftest import blessing
from tests.components.serving.predict.conftest import (  # noqa: F401 (fixtures)
    CLASS_NAMES,
    FILTERS,
    SIDE_PX,
    version_dir,
    version_with_maps_dir,
)


def test_a_uri_refers_to_a_version_or_to_the_champion(
    version_dir: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert find_version(str(version_dir)) == str(version_dir)
    promote(Champion(7, "", "f", "e", generation=""), str(tmp_path), "hpa")
    assert find_version(f"{tmp_path}/hpa") == find_version(f"{tmp_path}/hpa/") == f"{tmp_path}/hpa/7"
    for nothing in (f"{tmp_path}/other", str(tmp_path)):
        with pytest.raises(FileNotFoundError, match=f"{nothing}: expected a version, with saved_model.pb, or <serving_root>"):
            find_version(nothing)


def test_decisions_are_the_probabilities_at_or_above_the_thresholds(version_with_maps_dir: Path) -> None:  # noqa: F811
    model = load_model(str(version_with_maps_dir), read_manifest(str(version_with_maps_dir)), 4, Path())
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)
    predictions = model.classify(pixels)
    assert model.thresholds.tolist() == np.array([0.4, 0.5, 0.6], np.float32).tolist()
    assert np.array_equal(predictions.decisions, predictions.probabilities >= model.thresholds)
    maps = model.activation_maps(pixels)
    assert maps is not None
    assert maps.shape == (4, 4, 4, len(CLASS_NAMES))
    assert np.allclose(1 / (1 + np.exp(-maps.mean(axis=(1, 2)))), predictions.probabilities, atol=1e-5)


def test_noise_is_like_the_training_noise_and_black_is_not(version_with_maps_dir: Path) -> None:  # noqa: F811
    model = load_model(str(version_with_maps_dir), read_manifest(str(version_with_maps_dir)), 4, Path())
    pixels = np.random.default_rng(7).integers(0, 256, (4, SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)
    pixels[-1] = 0
    distances = model.classify(pixels).distances
    assert distances is not None
    assert [model.is_unlike_training(float(distance)) for distance in distances] == [False, False, False, True]


def test_a_model_of_an_earlier_version_gives_no_distances(version_dir: Path) -> None:  # noqa: F811
    model = load_model(str(version_dir), read_manifest(str(version_dir)), 1, Path())
    assert model.classify(np.zeros((1, SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)).distances is None
    assert model.is_unlike_training(1e9) is None


def test_a_nan_distance_is_unlike_the_training_images(version_with_maps_dir: Path) -> None:  # noqa: F811
    model = load_model(str(version_with_maps_dir), read_manifest(str(version_with_maps_dir)), 1, Path())
    assert model.distance_fields(float("nan")) == {"distance": None, "is_unlike_training": True}


def test_bfloat16_is_used_on_request_and_reported(version_with_maps_dir: Path, tmp_path: Path) -> None:  # noqa: F811
    trained = read_manifest(str(version_with_maps_dir))
    pixels = np.random.default_rng(0).integers(0, 256, (32, SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)
    exact, rounded = (load_model(str(version_with_maps_dir), trained, 32, Path(), name) for name in ("", "bfloat16"))
    assert exact.precision_fields == {"precision": "float32"}
    fields = {"precision": "bfloat16", "judged_precision": "float32", "differing_decisions": None}
    assert rounded.precision_fields == fields
    assert "differing decisions were not measured" in rounded.describe_precision()
    difference = np.abs(exact.classify(pixels).probabilities - rounded.classify(pixels).probabilities).max()
    assert 0 < difference < 0.02

    judged = tmp_path / "1"
    shutil.copytree(version_with_maps_dir, judged)
    evaluation = blessing().model_copy(update={"serving_precision": "bfloat16", "differing_decisions": 0.0004})
    (judged / MODEL_EVALUATION).write_bytes(evaluation.to_json())
    assert load_model(str(judged), trained, 1, Path()).precision_fields == {"precision": "bfloat16"}
    other = load_model(str(judged), trained, 1, Path(), "float32")
    assert other.precision_fields == {"precision": "float32", "judged_precision": "bfloat16", "differing_decisions": 0.0004}
    assert "0.040% of decisions differ" in other.describe_precision()


def test_a_model_that_was_exported_without_bfloat16_computes_in_float32(
    version_dir: Path,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = load_model(str(version_dir), read_manifest(str(version_dir)), 1, Path(), "bfloat16")
    assert model.precision_fields == {"precision": "float32"}
    assert "hpa/1 was exported without bfloat16 and computes in float32" in caplog.text


def test_maps_of_a_single_pixel_are_none(version_dir: Path) -> None:  # noqa: F811
    model = load_model(str(version_dir), read_manifest(str(version_dir)), 1, Path())
    assert model.activation_maps(np.zeros((1, SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)) is None


def test_a_model_without_thresholds_cannot_be_used(version_dir: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "model"
    shutil.copytree(version_dir, folder)
    (folder / MODEL_THRESHOLDS).unlink()
    with pytest.raises(OSError, match=r"model cannot be used: `python -m pipeline models verify` may say why"):
        load_model(str(folder), read_manifest(str(folder)), 1, Path())
