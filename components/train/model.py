"""The network: normalisation, a backbone, and a head with one logit per class. Plain Keras 3."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and the input that it expects.

    Attributes:
        make: A function of Keras Applications, or another that takes `include_top`, `weights` (`imagenet` or None) and
            `input_shape`, and returns a network from images to feature maps, without preprocessing: Keras's own is for RGB with
            ImageNet's statistics, whereas `build_model` scales any number of channels by the training split.
        input_mean: The mean of the input; for pretrained weights, that of ImageNet after Keras's preprocessing.
        input_std: Its standard deviation.
        min_side_px: The smallest input. Keras itself checks this only for networks of a fixed input size.
    """

    make: Callable[..., keras.Model]
    input_mean: float = 0.0
    input_std: float = 1.0
    min_side_px: int = 32


def _depthwise(inputs: Any, kernel: Any) -> Any:
    return keras.ops.depthwise_conv(inputs, keras.ops.transpose(kernel, (0, 1, 3, 2)), padding="same")


def _convnext_tiny(**options: Any) -> keras.Model:
    """ConvNeXtTiny, with its grouped convolutions computed as depthwise ones, which they are.

    Keras compiles grouped convolutions with XLA. TensorFlow Serving does not load XLA unless told to, and on a CPU a training
    step takes three times as long with it.
    """
    network = keras.applications.ConvNeXtTiny(include_preprocessing=False, **options)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1:
            layer.convolution_op = _depthwise
    return network


# The mean and deviation of ImageNet's pixels in [0, 1], averaged over the three channels.
_IMAGENET_MEAN, _IMAGENET_STD = 0.449, 0.226

# The parameter `backbone`, or a recipe, names the one to train. docs/recipes.md compares them.
BACKBONES = {
    # Szegedy et al., AAAI 2017; the paper's network. Its ImageNet inputs had a deviation of 0.45; the batch normalisation
    # after its first convolution compensates for the difference: docs/recipes.md, "The warm-up".
    "inception_resnet_v2": Backbone(keras.applications.InceptionResNetV2, min_side_px=75),
    # Huang et al., CVPR 2017.
    "densenet121": Backbone(keras.applications.DenseNet121),
    # Liu et al., CVPR 2022.
    "convnext_tiny": Backbone(_convnext_tiny),
    # Tan and Le, ICML 2021. Keras divides its pixels by 128 and subtracts 1.
    "efficientnet_v2_s": Backbone(
        partial(keras.applications.EfficientNetV2S, include_preprocessing=False),
        input_mean=_IMAGENET_MEAN * 255 / 128 - 1,
        input_std=_IMAGENET_STD * 255 / 128,
    ),
}


def build_backbone(name: str, side_px: int | None, num_channels: int, weights: str) -> keras.Model:
    """Builds a network without its classifier.

    Args:
        name: One of `BACKBONES`.
        side_px: The side of the square input; None for any side of at least the backbone's `min_side_px`.
        num_channels: The number of input channels.
        weights: See `weights.with_weights`, also for errors.
    """
    from components.train.weights import with_weights  # noqa: PLC0415 (benchmarks.gpu has only Keras)

    def build(num_channels: int, is_pretrained: bool) -> keras.Model:
        shape = (side_px, side_px, num_channels)
        return BACKBONES[name].make(include_top=False, weights="imagenet" if is_pretrained else None, input_shape=shape)

    return with_weights(build, num_channels, weights)


def build_model(
    backbone: keras.Model,
    channel_mean: np.ndarray,
    channel_std: np.ndarray,
    num_classes: int,
    dropout: float,
    input_mean: float = 0.0,
    input_std: float = 1.0,
    pooling: str = "average",
) -> keras.Model:
    """Adds normalisation and a head to a backbone.

    The head is global pooling, dropout and one dense layer, so that a class's activation map is exactly a weighted sum of the
    backbone's feature maps (Zhou et al., CVPR 2016; see `export.class_activation_maps`).

    ImageNet's weights expect photographs. Stained cells are bright on black: scaled like photographs, nearly all pixels would
    be near -1. Instead, each channel is scaled by the training split's statistics to ImageNet's mean and deviation.

    Args:
        backbone: From float32 images to feature maps, shape (batch, height, width, features).
        channel_mean: Float, shape (channels,): the mean grey levels, which are mapped to `input_mean`.
        channel_std: Float, shape (channels,): their standard deviations, which are mapped to `input_std`.
        num_classes: The number of logits.
        dropout: The share of features dropped while training.
        input_mean: The mean of each channel that the backbone expects: see `Backbone`.
        input_std: The standard deviation of each channel that the backbone expects.
        pooling: `average`, or `average_max` for the averages of the feature maps followed by their maxima.

    Returns:
        A model from pixels, float32 in [0, 255] of shape (batch, height, width, channels), to logits of shape (batch, classes).
    """
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    # A constant channel has a deviation of 0.
    scale = np.maximum(channel_std, 1.0) / input_std
    mean, variance = channel_mean - input_mean * scale, np.square(scale)
    normalised = keras.layers.Normalization(mean=mean, variance=variance, name="normalization")(pixels)
    maps = backbone(normalised)
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(maps)
    if pooling == "average_max":
        features = keras.layers.Concatenate()([features, keras.layers.GlobalMaxPooling2D()(maps)])
    kept = keras.layers.Dropout(dropout, name="dropout")(features)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(kept)
    return keras.Model(pixels, logits, name="classifier")


def backbone_of(network: keras.Model) -> keras.Model:
    """The backbone of a network made by `build_model`."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def follow_short_epochs(model: keras.Model, steps_per_epoch: int) -> None:
    """Shortens batch normalisation's moving averages if an epoch has few steps.

    Keras Applications' momentum of 0.99 averages over about 100 steps. In shorter epochs, the averages would lag behind the
    weights that are validated, so the momentum is lowered to average over half an epoch. Training itself does not use the
    averages. Nothing changes from 200 steps on.

    Args:
        model: An uncompiled model; changed in place, including nested models.
        steps_per_epoch: The number of steps in an epoch.
    """
    momentum = max(0.5, 1 - 2 / steps_per_epoch)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, momentum)
        elif isinstance(layer, keras.Model):
            follow_short_epochs(layer, steps_per_epoch)
