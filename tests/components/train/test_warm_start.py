"""Warm starts from the champion, with a small network; tests/pipeline uses the real one."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from components.artifacts.manifest import MODEL_MANIFEST, MODEL_TRAINING_IDS, Examples, TrainedModel
from components.serving.champion import Champion
from components.train.export import export_model
from components.train.model import build_model
from components.train.recipes import RECIPES, Recipe
from components.train.warm_start import Start

TRAINING_IDS = [f"sample-{number:03d}" for number in range(96)]
HELD_BACK = [f"sample-{number:03d}" for number in range(96, 144)]


def _network(num_channels: int = 3, num_filters: int = 4) -> keras.Model:
    pixels = keras.Input((16, 16, num_channels))
    features = keras.layers.BatchNormalization()(keras.layers.Conv2D(num_filters, 3)(pixels))
    moments = np.full(num_channels, 60.0), np.full(num_channels, 50.0)
    return build_model(keras.Model(pixels, features), *moments, 3, dropout=0.5)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return _network()


@pytest.fixture(scope="module")
def exported(network: keras.Model, examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "hpa" / "1"
    export_model(network, examples.channels, examples.class_names, TRAINING_IDS, folder)
    manifest = TrainedModel(
        fingerprint="champion0",
        inputs={},
        parameters={},
        source="test",
        licence="none",
        class_names=examples.class_names,
        channels=examples.channels,
        image_size_px=32,
        epochs_trained=1,
        best_epoch=1,
        metrics={},
    )
    (folder / MODEL_MANIFEST).write_bytes(manifest.to_json())
    return folder


@pytest.fixture
def champion(exported: Path, tmp_path: Path) -> Champion:
    folder = tmp_path / "serving" / "hpa" / "1"
    shutil.copytree(exported, folder)
    return Champion(1, str(folder), "champion0", "evaluation0", "generation0")


def _choose(
    champion: Champion | None,
    examples: Examples,
    folder: Path,
    warm_start: bool = True,
    recipe: Recipe = RECIPES["paper"],
) -> Start:
    return Start.choose("imagenet", recipe, warm_start, champion, examples, str(folder / "training"))


def test_a_network_gets_exactly_the_weights_of_the_champion(
    network: keras.Model, champion: Champion, examples: Examples, tmp_path: Path
) -> None:
    start = _choose(champion, examples, tmp_path)
    other = _network()
    assert not np.array_equal(other.get_weights()[0], network.get_weights()[0])
    start.give_weights(other)
    for given, expected in zip(other.get_weights(), network.get_weights(), strict=True):
        assert np.array_equal(given, expected)
    assert start.words == "version 1 of the served model"
    assert start.training_ids() == set(TRAINING_IDS)


def test_the_champion_is_not_used_unless_requested(champion: Champion, examples: Examples, tmp_path: Path) -> None:
    assert _choose(champion, examples, tmp_path, warm_start=False) == Start(words="weights=imagenet")
    assert not (tmp_path / "training").exists()


def test_the_first_training_starts_from_the_given_weights(examples: Examples, tmp_path: Path) -> None:
    start = _choose(None, examples, tmp_path)
    assert start.words == "weights=imagenet, not the champion: there is none yet"
    assert (start.champion_uri, start.training_ids()) == ("", set())


def test_a_resumed_training_keeps_its_start_after_a_promotion(champion: Champion, examples: Examples, tmp_path: Path) -> None:
    begun = _choose(champion, examples, tmp_path)
    later = replace(champion, version=2, model_fingerprint="champion1", uri=champion.uri.replace("/1", "/2"))
    assert _choose(later, examples, tmp_path) == begun
    assert _choose(None, examples, tmp_path) == begun


def test_a_training_whose_start_is_gone_starts_over(
    champion: Champion, examples: Examples, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _choose(champion, examples, tmp_path)
    (tmp_path / "training" / "checkpoints").mkdir()
    (tmp_path / "training" / "checkpoints" / "old").touch()
    shutil.rmtree(champion.uri)
    with caplog.at_level(logging.WARNING):
        start = _choose(None, examples, tmp_path)
    assert start.words == "weights=imagenet, not the champion: there is none yet"
    assert "version 1 of the served model no longer exists" in caplog.text
    assert not (tmp_path / "training" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"class_names": ["other"]}, "the classes of version 1 are bright, striped, spotted, and those of the examples other"),
        ({"channels": ["red", "green", "blue", "yellow"]}, "the channels of version 1 are red, green, blue, and those of the"),
    ],
)
def test_a_champion_that_does_not_fit_is_not_used(
    champion: Champion, examples: Examples, tmp_path: Path, change: dict[str, list[str]], obstacle: str
) -> None:
    start = _choose(champion, examples.model_copy(update=change), tmp_path)
    assert start.words.startswith(f"weights=imagenet, not the champion: {obstacle}")
    assert not start.champion_uri


def test_a_champion_with_another_backbone_is_not_used(champion: Champion, examples: Examples, tmp_path: Path) -> None:
    """The champion's manifest names none, as in version 0.1.0 and before, which means InceptionResNetV2."""
    start = _choose(champion, examples, tmp_path, recipe=RECIPES["paper"].overridden(backbone="densenet121"))
    assert start.words == (
        "weights=imagenet, not the champion: the backbone of version 1 is inception_resnet_v2, "
        "and that of this run is densenet121"
    )
    assert not start.champion_uri


def test_a_champion_with_another_pooling_is_not_used(champion: Champion, examples: Examples, tmp_path: Path) -> None:
    start = _choose(champion, examples, tmp_path, recipe=RECIPES["high_resolution"])
    assert start.words == (
        "weights=imagenet, not the champion: the pooling of version 1 is average, and that of this run is average_max"
    )
    assert not start.champion_uri


def test_a_champion_trained_on_validation_or_test_samples_is_not_used(
    champion: Champion, examples: Examples, tmp_path: Path
) -> None:
    Path(champion.uri, MODEL_TRAINING_IDS).write_text("\n".join([*TRAINING_IDS, *HELD_BACK[:2]]))
    start = _choose(champion, examples, tmp_path)
    assert "version 1 was trained on 2 of the 48 samples that the new model is judged on" in start.words
    assert not start.champion_uri


def test_the_weights_of_another_network_are_refused(champion: Champion, examples: Examples, tmp_path: Path) -> None:
    start = _choose(champion, examples, tmp_path)
    with pytest.raises(ValueError, match="was exported from another network"):
        start.give_weights(_network(num_filters=5))
