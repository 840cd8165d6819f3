"""The signature of the exported model for PNG files, compared with convert's records of the same files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import keras
import numpy as np
import pytest
import tensorflow as tf

from components.images.decode import Reading, sample_pixels
from components.images.grey_levels import to_8_bits
from components.images.image import Image
from components.images.reader import read_image
from components.train.export import ServingModule, _decode, input_names
from components.train.model import build_model
from components.train.recipes import RECIPES
from components.train.reference import appearance, fit_reference
from tests.components.images.damage import PNGS, check_accepted

MakePixels = Callable[..., np.ndarray]
_FILTERS = ("red", "green", "blue")
_SIDE_PX = 75


def _mean_grey_levels(num_channels: int, divided_by: float) -> keras.Model:
    """A network whose logits are the means of the channels."""
    inputs = keras.Input((_SIDE_PX, _SIDE_PX, num_channels))
    normalise = keras.layers.Normalization(mean=0.0, variance=float(divided_by**2), name="normalization")
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pooling")(normalise(inputs)))


@pytest.mark.parametrize("side_px", [_SIDE_PX, 160])
@pytest.mark.parametrize(
    ("intensity_range", "factor", "dtype"),
    [
        ("", 1, np.uint8),
        ("10:210", 1, np.uint8),
        ("100:4095", 16, np.uint16),
        ("100:4095,0:3500,50:3000", 16, np.uint16),
    ],
)
def test_png_files_are_read_within_one_grey_level_of_training(
    tmp_path: Path, make_pixels: MakePixels, side_px: int, intensity_range: str, factor: int, dtype: type[np.generic]
) -> None:
    network = _mean_grey_levels(num_channels=3, divided_by=1)
    served = ServingModule(network, _FILTERS, tmp_path, ["x", "y", "z"], intensity_range=intensity_range)
    files = {
        name: imagecodecs.png_encode(make_pixels(seed, side_px).astype(dtype) * dtype(factor))
        for seed, name in enumerate(_FILTERS)
    }
    expected = sample_pixels(files, _FILTERS, _SIDE_PX, Reading(intensity_range=intensity_range, stains=_FILTERS))
    pixels = served._read_sample(tf.constant([files[name] for name in _FILTERS])).numpy()
    assert np.abs(pixels - expected).max() <= 1
    assert pixels.max() > 128


def _check_served(data: bytes, image: Image) -> None:
    colours = [image.plane(k, 0) for k, colour in enumerate(image.channel_names) if colour != "alpha"]
    is_deep = colours[0].dtype == np.uint16
    levels = (0.0, 65535.0) if is_deep else None
    expected = np.dstack([to_8_bits(plane, levels) for plane in colours]).astype(int)
    assert np.abs(_decode(tf.constant(data), levels).numpy() - expected).max() <= is_deep


@pytest.mark.parametrize("name", PNGS)
def test_the_served_model_reads_what_training_accepts(name: str) -> None:
    check_accepted(PNGS[name], 10, read_image, _check_served)


@pytest.mark.long
@pytest.mark.parametrize("name", PNGS)
def test_the_served_model_reads_what_training_accepts_whatever_the_damage(name: str) -> None:
    """A PNG file that training accepts, however damaged, has the same pixels in the served model, within one grey level."""
    check_accepted(PNGS[name], 5000, read_image, _check_served)


@pytest.mark.parametrize(("recipe", "num_passes", "num_graphs"), [("paper", 1, 1), ("strong", 8, 1), ("high_resolution", 5, 2)])
def test_the_network_runs_once_on_each_view_in_one_graph_per_size(
    tmp_path: Path, recipe: str, num_passes: int, num_graphs: int
) -> None:
    """With crops, it also runs on the whole image, whose features give the distance from the training images."""
    inputs = keras.Input((None, None, 3))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    network = build_model(backbone, np.zeros(3), np.ones(3), 1, dropout=0.0)
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 16, 16, 3)).astype(np.float32)
    images = tuple(map(np.asarray, appearance(pixels, pixels[:, 0, :4, 0])))
    reference = fit_reference(images, images)
    served = ServingModule(network, _FILTERS, tmp_path, ["x"], RECIPES[recipe], reference=reference, image_size_px=16)
    graph = served.entry_points["pixels"].get_concrete_function().graph.as_graph_def()
    functions = {function.signature.name: function.node_def for function in graph.library.function}

    def passes(nodes: Sequence[Any]) -> int:
        called = sum(passes(functions[node.attr["f"].func.name]) for node in nodes if "f" in node.attr)
        return called + sum(node.op == "Conv2D" for node in nodes)

    assert passes(graph.node) == num_passes
    assert sum(node.op == "Conv2D" for nodes in functions.values() for node in nodes) == num_graphs


def test_inputs_have_the_stains_names_if_possible() -> None:
    assert input_names(["red", "green"]) == ["red", "green"]
    assert input_names(["alpha tubulin", "a b", "a.b", "488"]) == ["alpha_tubulin", "stain_1", "stain_2", "stain_3"]


@pytest.mark.parametrize("stains", [("DNA",), ("DNA", "alpha tubulin"), ("DNA", "ER", "RNA", "actin", "mito+")])
def test_a_model_of_other_stains_takes_a_file_for_each(
    tmp_path: Path, make_pixels: MakePixels, stains: tuple[str, ...]
) -> None:
    network = _mean_grey_levels(len(stains), divided_by=255)
    served = ServingModule(network, stains, tmp_path, list(stains))
    answer = served.entry_points["serving_default"].get_concrete_function()
    files = [imagecodecs.png_encode(make_pixels(seed, _SIDE_PX)) for seed in range(len(stains))]
    inputs_by_name = {name: tf.constant([file]) for name, file in zip(input_names(stains), files, strict=True)}
    means = [make_pixels(seed, _SIDE_PX).mean() / 255 for seed in range(len(stains))]
    expected = 1 / (1 + np.exp(-np.array(means)))
    assert np.allclose(answer(**inputs_by_name)["probabilities"][0], expected, atol=1e-3)
