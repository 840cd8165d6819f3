"""The exported model: one SavedModel that takes the filters' PNG files, or pixels, and holds everything it needs."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.manifest import MODEL_THRESHOLDS, MODEL_TRAINING_IDS
from components.artifacts.parameters import Levels, parse_intensity_range
from components.train.model import backbone_of

# Assets of the model: text files, so that push can replace the thresholds without TensorFlow.
THRESHOLDS = Path(MODEL_THRESHOLDS).name
CLASSES = "classes.csv"
DEFAULT_THRESHOLD = 0.5


class ServedModel(tf.Module):  # type: ignore[misc]
    """The signatures of a network.

    It holds the network's variables themselves, so that the weights are stored once.
    """

    def __init__(
        self,
        network: keras.Model,
        filters: Sequence[str],
        asset_dir: Path,
        class_names: Sequence[str],
        num_views: int,
        intensity_range: str = "",
    ) -> None:
        """Prepares the signatures.

        Args:
            network: From float32 pixels in [0, 255] to logits, as `model.build_model` makes it.
            filters: The names of its channels, in order.
            asset_dir: Where to write the assets that the SavedModel will copy.
            class_names: The names of the logits, in order.
            num_views: Over how many of the 8 symmetries of the square probabilities are averaged.
            intensity_range: The grey levels that become 0 and 255: one range, or one for each channel; empty for the whole
                range of 8 bits.
        """
        super().__init__()
        (asset_dir / THRESHOLDS).write_text("\n".join([str(DEFAULT_THRESHOLD)] * len(class_names)) + "\n", encoding="utf-8")
        (asset_dir / CLASSES).write_text("\n".join(class_names) + "\n", encoding="utf-8")
        self.variables_ = network.variables
        self.thresholds = tf.saved_model.Asset(str(asset_dir / THRESHOLDS))
        self.classes = tf.saved_model.Asset(str(asset_dir / CLASSES))
        height, width, num_channels = network.input_shape[1:]
        self._size = (height, width)
        ranges = parse_intensity_range(intensity_range)
        self._levels = ranges if len(ranges) > 1 else len(filters) * (ranges or (None,))

        @tf.function(input_signature=[tf.TensorSpec([None, height, width, num_channels], tf.float32)])
        def classify(pixels: tf.Tensor) -> tf.Tensor:
            return probabilities_of(network, pixels, num_views)

        @tf.function(input_signature=[tf.TensorSpec([None, height, width, num_channels], tf.uint8, name="pixels")])
        def from_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._outputs(classify(tf.cast(pixels, tf.float32)))

        @tf.function(input_signature=[tf.TensorSpec([None, height, width, num_channels], tf.uint8, name="pixels")])
        def activation_maps(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"maps": class_activation_maps(network, tf.cast(pixels, tf.float32))}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in input_names(filters)])
        def from_png(*files: tf.Tensor) -> dict[str, tf.Tensor]:
            pixels = tf.map_fn(self._read_sample, tf.stack(files, axis=1), fn_output_signature=tf.float32)
            return self._outputs(classify(tf.ensure_shape(pixels, [None, height, width, num_channels])))

        self.classify = classify
        self.entry_points = {"serving_default": from_png, "pixels": from_pixels, "activation_maps": activation_maps}

    def _read_sample(self, files: tf.Tensor) -> tf.Tensor:
        """The PNG files of one sample to float32 pixels of the network's size, averaged over areas as in training."""
        colours = [_decode(files[position], levels) for position, levels in enumerate(self._levels)]
        # Greyscale files have three equal channels then, and of a stain that was saved in colour one is used: as in training.
        channels = [tf.reduce_max(colour, axis=-1, keepdims=True) for colour in colours]
        resized = [tf.image.resize(_middle_square(channel), self._size, method="area") for channel in channels]
        return tf.round(tf.concat(resized, axis=-1))

    def _outputs(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        lines = tf.strings.split(tf.strings.strip(tf.io.read_file(self.thresholds.asset_path)), "\n")
        decisions = probabilities >= tf.strings.to_number(lines)
        names = tf.strings.split(tf.strings.strip(tf.io.read_file(self.classes.asset_path)), "\n")
        return {"probabilities": probabilities, "decisions": decisions, "classes": names}


def _decode(file: tf.Tensor, levels: Levels | None) -> tf.Tensor:
    """A PNG file to grey levels from 0 to 255, of shape (height, width, 3), scaled as `images.grey_levels` does."""
    if not levels:
        return tf.io.decode_png(file, channels=3)
    low, high = levels
    stored = tf.cast(tf.io.decode_png(file, channels=3, dtype=tf.uint16), tf.float32)
    bit_depth = tf.strings.unicode_decode(tf.strings.substr(file, 24, 1), "ISO-8859-1")[0]
    stored = tf.where(bit_depth < 16, stored / 257, stored)  # files of 8 bits are stretched by the decoder
    return tf.floor((tf.clip_by_value(stored, low, high) - low) * 255 / (high - low) + 0.5)


def input_names(stains: Sequence[str]) -> list[str]:
    """The inputs of `serving_default`: the stains' names, with `_` for what TensorFlow does not allow in names.

    Names that become alike, or do not begin with a letter, get their stain's position, counted from 0: `stain_1`.
    """
    names = [re.sub(r"[^A-Za-z0-9_]", "_", stain) for stain in stains]
    return [
        name if name[0].isascii() and name[0].isalpha() and names.count(name) == 1 else f"stain_{position}"
        for position, name in enumerate(names)
    ]


def _middle_square(channel: tf.Tensor) -> tf.Tensor:
    """The middle of an image that is not square, as convert takes it."""
    height, width = tf.unstack(tf.shape(channel)[:2])
    side = tf.minimum(height, width)
    return tf.image.crop_to_bounding_box(channel, (height - side) // 2, (width - side) // 2, side, side)


def probabilities_of(network: keras.Model, pixels: Any, num_views: int) -> Any:
    """What is served: the mean of a network's probabilities over views of each image.

    It consists of Keras operations, so that it makes a part of a TensorFlow graph and of a Keras model alike.

    Args:
        network: As `model.build_model` makes it.
        pixels: float32 in [0, 255], of shape (batch, height, width, channels).
        num_views: Over how many of the 8 symmetries of the square.

    Returns:
        float32, shape (batch, classes).
    """
    views = [keras.ops.sigmoid(network(symmetric(pixels, number), training=False)) for number in range(num_views)]
    return sum(views) / num_views


def symmetric(pixels: Any, number: int) -> Any:
    """One of the 8 symmetries of square images, of shape (batch, height, width, channels): 0 leaves them as they are."""
    turned = keras.ops.flip(pixels, 2) if number >= 4 else pixels
    for _ in range(number % 4):
        turned = keras.ops.flip(keras.ops.transpose(turned, (0, 2, 1, 3)), 1)
    return turned


def class_activation_maps(network: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """Where a network sees each class: its mean over an image is the class's logit (Zhou et al., CVPR 2016).

    Args:
        network: As `model.build_model` makes it.
        pixels: float32 in [0, 255], of shape (batch, height, width, channels).

    Returns:
        float32 of shape (batch, height, width, classes), with the height and width of the backbone's feature maps.
    """
    features = backbone_of(network)(network.get_layer("normalization")(pixels), training=False)
    head = network.get_layer("logits")
    return tf.einsum("bhwf,fc->bhwc", tf.cast(features, tf.float32), head.kernel.value) + head.bias.value


def export_model(
    network: keras.Model,
    filters: Sequence[str],
    class_names: Sequence[str],
    training_ids: Sequence[str],
    folder: Path,
    num_views: int = 1,
    intensity_range: str = "",
) -> None:
    """Writes a SavedModel.

    Its signatures are `serving_default`, from one string tensor of PNG files a stain, named as `input_names` says; and
    `pixels`, from uint8 pixels of shape (batch, height, width, channels). Both give `probabilities` (float32, (batch,
    classes)), `decisions` (bool, the probabilities at or above the thresholds) and `classes` (the names). `activation_maps`,
    from the same pixels, gives `maps`: see `class_activation_maps`.

    Args:
        network: From float32 pixels in [0, 255] to logits, as `model.build_model` makes it.
        filters: The names of its channels, in order.
        class_names: The names of its classes, in order.
        training_ids: The ids of the samples that it was trained on: they are kept with the model.
        folder: A folder to make.
        num_views: Over how many of the 8 symmetries of the square probabilities are averaged.
        intensity_range: The grey levels that become 0 and 255; empty for the whole range of 8 bits.
    """
    with tempfile.TemporaryDirectory() as asset_dir:
        served = ServedModel(network, filters, Path(asset_dir), class_names, num_views, intensity_range)
        tf.saved_model.save(served, str(folder), signatures=dict(served.entry_points))
    ids_path = folder / MODEL_TRAINING_IDS
    ids_path.parent.mkdir()
    ids_path.write_text("\n".join(sorted(training_ids)) + "\n", encoding="utf-8")


def check_export(folder: Path, network: keras.Model, pixels: np.ndarray, num_views: int = 1) -> float:
    """Loads an exported model and returns its largest difference from the network on some pixels, as a probability."""
    served = tf.saved_model.load(str(folder)).signatures["pixels"](pixels=tf.constant(pixels))["probabilities"].numpy()
    expected = probabilities_of(network, tf.constant(pixels, tf.float32), num_views).numpy()
    return float(np.abs(served - expected).max())
