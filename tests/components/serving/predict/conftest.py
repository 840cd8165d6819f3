"""A small served model, and folders of images."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.train.export import export_model
from components.train.model import build_model
from components.train.precision import computing_in
from components.train.reference import appearance, fit_reference

SIDE_PX = 32
FILTERS = ["red", "green", "blue"]
CLASS_NAMES = ["Nucleoli", "Cytosol", "Rods & rings"]
THRESHOLDS = "0.4\n0.5\n0.6\n"


@pytest.fixture(scope="session")
def version_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pushed version. Its probabilities differ between samples, above and below the thresholds."""
    return _make_version(tmp_path_factory, kernel_px=SIDE_PX)


@pytest.fixture(scope="session")
def version_with_maps_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with everything that train exports. Its maps have 4 x 4 pixels; noise is like its training images."""
    return _make_version(tmp_path_factory, kernel_px=SIDE_PX // 4, is_with_reference=True)


@pytest.fixture(scope="session")
def large_version_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version for images of 128 pixels."""
    return _make_version(tmp_path_factory, kernel_px=SIDE_PX, side_px=128)


def _build(kernel_px: int, side_px: int) -> keras.Model:
    pixels = keras.Input((side_px, side_px, len(FILTERS)))
    backbone = keras.Model(pixels, keras.layers.Conv2D(8, kernel_px, strides=kernel_px)(pixels))
    channels = np.ones(len(FILTERS), np.float32)
    return build_model(backbone, 128 * channels, 10 * channels, len(CLASS_NAMES), dropout=0.0)


def _make_version(
    tmp_path_factory: pytest.TempPathFactory, kernel_px: int, side_px: int = SIDE_PX, is_with_reference: bool = False
) -> Path:
    keras.utils.set_random_seed(1)
    network = _build(kernel_px, side_px)
    folder = tmp_path_factory.mktemp("serving") / "hpa" / "1"
    reference = None
    if is_with_reference:
        noise = np.random.default_rng(0).integers(0, 256, (400, side_px, side_px, len(FILTERS))).astype(np.float32)
        features = keras.Model(network.input, network.get_layer("pooling").output)(noise)
        numbers = tuple(map(np.asarray, appearance(noise, features)))
        reference = fit_reference(numbers, numbers)
    with computing_in("bfloat16"):
        rounded = _build(kernel_px, side_px) if is_with_reference else None
    export_model(network, FILTERS, CLASS_NAMES, ["trained-on"], folder, reference=reference, rounded=rounded)
    manifest = TrainedModel(
        fingerprint="f",
        inputs={},
        parameters={},
        source="test",
        licence="none",
        class_names=CLASS_NAMES,
        channels=FILTERS,
        image_size_px=side_px,
        epochs_trained=1,
        best_epoch=1,
        usual_distances={"float32": 2.0} if is_with_reference else {},
        class_frequencies=dict(zip(CLASS_NAMES, (0.5, 0.25, 0.0125), strict=True)),
        metrics={},
    )
    (folder / MODEL_MANIFEST).write_bytes(manifest.to_json())
    (folder / "assets" / "thresholds.csv").write_text(THRESHOLDS)
    return folder


@pytest.fixture(scope="session")
def cells_dir(tmp_path_factory: pytest.TempPathFactory, make_folder: Callable[..., Path]) -> Path:
    """Images of 70 samples, in three batches."""
    return make_folder(tmp_path_factory.mktemp("images") / "cells", {f"s{number:02d}": "0" for number in range(70)}, side_px=48)
