"""The exported model: one SavedModel that takes the filters' PNG files, or pixels, and holds everything it needs."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.manifest import ACTIVATION_MAPS, MODEL_THRESHOLDS, MODEL_TRAINING_IDS, SIGNATURES
from components.artifacts.parameters import Levels, parse_intensity_range
from components.runtime.scratch import scratch_folder
from components.train.model import backbone_of
from components.train.recipes import RECIPES, Recipe
from components.train.reference import Reference, Spread, appearance
from components.train.views import probabilities

# Assets of the model: text files, so that push can replace the thresholds without TensorFlow.
THRESHOLDS = Path(MODEL_THRESHOLDS).name
CLASSES = "classes.csv"
DEFAULT_THRESHOLD = 0.5
# The largest difference of the exported model's probabilities from the network's, on the same pixels.
_TOLERANCE = 1e-5


class ServingModule(tf.Module):  # type: ignore[misc]
    """The signatures of a network.

    It holds the network's variables themselves, so that the weights are stored once.
    """

    def __init__(
        self,
        network: keras.Model,
        filters: Sequence[str],
        asset_dir: Path,
        class_names: Sequence[str],
        recipe: Recipe = RECIPES["paper"],
        intensity_range: str = "",
        reference: Reference | None = None,
        rounded: keras.Model | None = None,
        image_size_px: int | None = None,
    ) -> None:
        """Prepares the signatures.

        Args:
            network: From float32 pixels in [0, 255] to logits, made by `model.build_model`.
            filters: The names of its channels, in order.
            asset_dir: Where to write the assets, which the SavedModel copies.
            class_names: The names of the logits, in order.
            recipe: How probabilities are computed: see `views.probabilities`.
            intensity_range: The grey levels that become 0 and 255: one range, or one for each channel; empty for the whole
                range of 8 bits.
            reference: The training images, from which distances are measured.
            rounded: The same network, built to compute in bfloat16. Its weights are not used.
            image_size_px: The side of the images, for a network of any input size.
        """
        super().__init__()
        (asset_dir / THRESHOLDS).write_text("\n".join([str(DEFAULT_THRESHOLD)] * len(class_names)) + "\n", encoding="utf-8")
        (asset_dir / CLASSES).write_text("\n".join(class_names) + "\n", encoding="utf-8")
        self.variables_ = network.variables
        normalisation = network.get_layer("normalization")
        self.normalisation_ = _constants(normalisation.mean, normalisation.variance)
        spreads = (reference.features, reference.texture) if reference else ()
        self.reference_ = [_constants(spread.mean, spread.whitening) for spread in spreads]
        self.thresholds = tf.saved_model.Asset(str(asset_dir / THRESHOLDS))
        self.classes = tf.saved_model.Asset(str(asset_dir / CLASSES))
        side, _, num_channels = network.input_shape[1:]
        side = image_size_px or side
        self._size = (side, side)
        ranges = parse_intensity_range(intensity_range)
        self._levels = ranges if len(ranges) > 1 else len(filters) * (ranges or (None,))

        uint8_pixels = tf.TensorSpec([None, side, side, num_channels], tf.uint8, name="pixels")

        def classifier(call: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
            @tf.function(input_signature=[tf.TensorSpec([None, side, side, num_channels], tf.float32)])
            def classify(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
                logits, features = call(pixels)

                def logits_of(view: tf.Tensor) -> tf.Tensor:
                    return logits if view is pixels else call(view)[0]

                answers = {"probabilities": probabilities(logits_of, pixels, recipe)}
                if self.reference_:
                    held = Reference(*(Spread(*spread) for spread in self.reference_))
                    answers["distances"] = held.distances(appearance(pixels, features))
                return answers

            return classify

        def from_pixels(classify: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> Any:
            @tf.function(input_signature=[uint8_pixels])
            def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
                return self._outputs(classify(tf.cast(pixels, tf.float32)))

            return answer

        classify = classifier(_with_features(network, network))

        @tf.function(input_signature=[uint8_pixels])
        def activation_maps(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"maps": class_activation_maps(network, tf.cast(pixels, tf.float32))}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=name) for name in input_names(filters)])
        def from_png(*files: tf.Tensor) -> dict[str, tf.Tensor]:
            pixels = tf.map_fn(self._read_sample, tf.stack(files, axis=1), fn_output_signature=tf.float32)
            return self._outputs(classify(tf.ensure_shape(pixels, [None, side, side, num_channels])))

        self.entry_points = {"serving_default": from_png, ACTIVATION_MAPS: activation_maps}
        self.entry_points[SIGNATURES["float32"]] = from_pixels(classify)
        if rounded:
            self.entry_points[SIGNATURES["bfloat16"]] = from_pixels(classifier(_with_features(rounded, network)))

    def _read_sample(self, files: tf.Tensor) -> tf.Tensor:
        """Decodes the PNG files of one sample to float32 pixels of the network's size, area-averaged as in training."""
        colours = [_decode(files[position], levels) for position, levels in enumerate(self._levels)]
        # Decoded greyscale files have three equal channels. For a stain saved in colour, the maximum is used, as in training.
        channels = [tf.reduce_max(colour, axis=-1, keepdims=True) for colour in colours]
        resized = [tf.image.resize(_middle_square(channel), self._size, method="area") for channel in channels]
        return tf.round(tf.concat(resized, axis=-1))

    def _outputs(self, answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        lines = tf.strings.split(tf.strings.strip(tf.io.read_file(self.thresholds.asset_path)), "\n")
        decisions = answers["probabilities"] >= tf.strings.to_number(lines)
        names = tf.strings.split(tf.strings.strip(tf.io.read_file(self.classes.asset_path)), "\n")
        return {**answers, "decisions": decisions, "classes": names}


def _constants(*values: Any) -> list[tf.Variable]:
    return [tf.Variable(value, trainable=False) for value in values]


def _with_features(network: keras.Model, weights_of: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Makes a function from float32 pixels to logits and pooled features.

    Args:
        network: The network that computes.
        weights_of: The network whose weights it uses: itself, or one with the same layers.
    """
    model = keras.Model(network.input, [network.output, network.get_layer("pooling").output])

    @tf.function  # so that all views of an image share one graph of the network
    def call(pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        lent = [(own, variable.value) for own, variable in zip(network.variables, weights_of.variables, strict=True)]
        with keras.StatelessScope(lent if network is not weights_of else []):
            logits, features = model(pixels, training=False)
        return logits, features

    return call


def _decode(file: tf.Tensor, levels: Levels | None) -> tf.Tensor:
    """Decodes a PNG file to grey levels from 0 to 255, of shape (height, width, 3), scaled as in `images.grey_levels`."""
    if not levels:
        return tf.io.decode_png(file, channels=3)
    low, high = levels
    stored = tf.cast(tf.io.decode_png(file, channels=3, dtype=tf.uint16), tf.float32)
    bit_depth = tf.strings.unicode_decode(tf.strings.substr(file, 24, 1), "ISO-8859-1")[0]
    stored = tf.where(bit_depth < 16, stored / 257, stored)  # the decoder stretches 8-bit files
    return tf.floor((tf.clip_by_value(stored, low, high) - low) * 255 / (high - low) + 0.5)


def input_names(stains: Sequence[str]) -> list[str]:
    """The input names of `serving_default`: the stains' names, with `_` for characters that TensorFlow does not allow.

    Names that become equal, or do not begin with a letter, are replaced by the stain's position, counted from 0: `stain_1`.
    """
    names = [re.sub(r"[^A-Za-z0-9_]", "_", stain) for stain in stains]
    return [
        name if name[0].isascii() and name[0].isalpha() and names.count(name) == 1 else f"stain_{position}"
        for position, name in enumerate(names)
    ]


def _middle_square(channel: tf.Tensor) -> tf.Tensor:
    """The central square of an image, as in convert."""
    height, width = tf.unstack(tf.shape(channel)[:2])
    side = tf.minimum(height, width)
    return tf.image.crop_to_bounding_box(channel, (height - side) // 2, (width - side) // 2, side, side)


def class_activation_maps(network: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """Computes class activation maps, whose mean over an image is the class's logit (Zhou et al., CVPR 2016).

    A feature's maximum counts at the pixel that has it, or in equal parts at those that share it.

    Args:
        network: Made by `model.build_model`.
        pixels: float32 in [0, 255], of shape (batch, height, width, channels).

    Returns:
        float32 of shape (batch, height, width, classes), with the height and width of the backbone's feature maps.
    """
    features = tf.cast(backbone_of(network)(network.get_layer("normalization")(pixels), training=False), tf.float32)
    head = network.get_layer("logits")
    if head.kernel.shape[0] > features.shape[-1]:  # maxima follow the averages
        is_peak = tf.cast(features == tf.reduce_max(features, axis=[1, 2], keepdims=True), tf.float32)
        peaks = features * is_peak / tf.reduce_mean(is_peak, axis=[1, 2], keepdims=True)
        features = tf.concat([features, peaks], axis=-1)
    return tf.einsum("bhwf,fc->bhwc", features, head.kernel.value) + head.bias.value


def export_model(
    network: keras.Model,
    filters: Sequence[str],
    class_names: Sequence[str],
    training_ids: Sequence[str],
    folder: Path,
    recipe: Recipe = RECIPES["paper"],
    intensity_range: str = "",
    reference: Reference | None = None,
    rounded: keras.Model | None = None,
    image_size_px: int | None = None,
) -> None:
    """Writes a SavedModel.

    Its signatures are `serving_default`, which takes one string tensor of PNG files per stain, named by `input_names`; and
    `pixels`, which takes uint8 pixels of shape (batch, height, width, channels). Both return `probabilities` (float32, (batch,
    classes)), `decisions` (bool, the probabilities at or above the thresholds), `classes` (the names) and, with a reference,
    `distances` (float32, (batch,): see `Reference`). `pixels_bfloat16` is `pixels` computed in bfloat16. `activation_maps`
    takes the same pixels and returns `maps`: see `class_activation_maps`.

    Args:
        network: From float32 pixels in [0, 255] to logits, as `model.build_model` makes it.
        filters: The names of its channels, in order.
        class_names: The names of its classes, in order.
        training_ids: The ids of the samples that it was trained on, which are stored with the model.
        folder: The folder to create.
        recipe: How probabilities are computed: see `views.probabilities`.
        intensity_range: The grey levels that become 0 and 255; empty for the whole range of 8 bits.
        reference: The training images, to tell how far others are from them.
        rounded: The same network, made to compute in bfloat16. Its own weights are not used.
        image_size_px: The side of the images, for a network that takes any.
    """
    with scratch_folder() as asset_dir:
        options = recipe, intensity_range, reference, rounded, image_size_px
        served = ServingModule(network, filters, asset_dir, class_names, *options)
        tf.saved_model.save(served, str(folder), signatures=dict(served.entry_points))
    ids_path = folder / MODEL_TRAINING_IDS
    ids_path.parent.mkdir()
    ids_path.write_text("\n".join(sorted(training_ids)) + "\n", encoding="utf-8")


def check_export(folder: Path, network: keras.Model, pixels: np.ndarray, recipe: Recipe) -> None:
    """Checks that an exported model computes the network's probabilities.

    Args:
        folder: The SavedModel.
        network: The network that was exported.
        pixels: uint8, shape (images, height, width, channels).
        recipe: How probabilities are computed: see `views.probabilities`.

    Raises:
        RuntimeError: If it does not.
    """
    served = tf.saved_model.load(str(folder)).signatures["pixels"](pixels=tf.constant(pixels))["probabilities"].numpy()
    expected = probabilities(partial(network, training=False), tf.constant(pixels, tf.float32), recipe)
    difference = float(np.abs(served - expected).max())
    if not difference <= _TOLERANCE:
        raise RuntimeError(f"The exported model's probabilities differ from the network's by {difference}: not published")
