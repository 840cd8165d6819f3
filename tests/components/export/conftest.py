"""A served model of a small network that averages over views."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from components.artifacts.manifest import MODEL_MANIFEST, MODEL_THRESHOLDS, TrainedModel
from components.train.export import export_model
from components.train.model import BACKBONES, build_backbone, build_model
from components.train.recipes import RECIPES, Recipe

CHANNELS = ["DNA", "alpha tubulin", "red", "ER"]
CLASS_NAMES = ["Nucleoli", "Rods & rings", "Golgi | apparatus"]
RECIPE = replace(RECIPES["strong"], backbone="small")

MakeVersion = Callable[..., Path]


def _small(include_top: bool, weights: str | None, input_shape: tuple[int, int, int], num_features: int = 8) -> keras.Model:
    """A replacement for a real network that is not invariant to symmetries, and has variables of each kind."""
    assert (include_top, weights) == (False, None)
    pixels = keras.Input(input_shape)
    features = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 5, strides=4, activation="relu")(pixels))
    return keras.Model(
        pixels, keras.layers.SpatialDropout2D(0.1)(keras.layers.Conv2D(num_features, 3, activation="relu")(features))
    )


def _add_backbones(patch: pytest.MonkeyPatch) -> None:
    """Adds two backbones, `small` and `wide`. Their input is scaled as EfficientNetV2S's."""
    for name, make in (("small", _small), ("wide", partial(_small, num_features=9))):
        patch.setitem(BACKBONES, name, replace(BACKBONES["efficientnet_v2_s"], make=make))


@pytest.fixture(autouse=True)
def small_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a version of a small network, for its export."""
    _add_backbones(monkeypatch)


@pytest.fixture(scope="session")
def make_version(tmp_path_factory: pytest.TempPathFactory) -> MakeVersion:
    """Exports a network with random weights as in train, with a manifest and thresholds as in push."""

    def make(recipe: Recipe = RECIPE, side_px: int = 32, channels: Sequence[str] = CHANNELS) -> Path:
        keras.utils.set_random_seed(1)
        with pytest.MonkeyPatch.context() as patch:
            _add_backbones(patch)
            backbone = build_backbone(recipe.backbone, recipe.input_side_px(side_px), len(channels), "none")
            expected = BACKBONES[recipe.backbone]
        moments = np.linspace(5, 40, len(channels)), np.linspace(0.5, 60, len(channels))
        head = len(CLASS_NAMES), recipe.dropout, expected.input_mean, expected.input_std, recipe.pooling
        network = build_model(backbone, *moments, *head)
        for variable in network.variables:  # so that no average is 0 and no deviation 1
            if variable.name.startswith("moving"):
                variable.assign(np.linspace(0.1, 2, variable.shape[0]))
        folder = tmp_path_factory.mktemp("serving") / "hpa" / "3"
        export_model(network, channels, CLASS_NAMES, ["trained-on"], folder, recipe, image_size_px=side_px)
        manifest = TrainedModel(
            fingerprint="f00d",
            inputs={},
            parameters=asdict(recipe),
            source="dir:cells",
            licence="CC BY-SA 4.0",
            class_names=CLASS_NAMES,
            channels=list(channels),
            image_size_px=side_px,
            epochs_trained=2,
            best_epoch=1,
            metrics={"val_f1_macro": 0.25},
        )
        (folder / MODEL_MANIFEST).write_bytes(manifest.to_json())
        (folder / MODEL_THRESHOLDS).write_text("0.4\n0.5\n0.6\n", encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def version_dir(make_version: MakeVersion) -> Path:
    """A version of the small network, which averages over the 8 symmetries."""
    return make_version()
