"""The network: a backbone with normalisation before it and a head of one logit per class behind it. Plain Keras 3."""

from collections.abc import Callable

import keras
import numpy as np

from components.train.weights import with_weights

# Each is a function of Keras Applications, or another that takes `include_top`, `weights` (`imagenet` or None) and
# `input_shape`, and gives a network from images to feature maps. A recipe names the one that it trains.
BACKBONES: dict[str, Callable[..., keras.Model]] = {
    # The paper's (Szegedy et al., AAAI 2017).
    "inception_resnet_v2": keras.applications.InceptionResNetV2,
}


def build_backbone(name: str, image_size_px: int, num_channels: int, weights: str) -> keras.Model:
    """Makes a network without its classifier.

    Args:
        name: One of `BACKBONES`.
        image_size_px: The side of the square input. InceptionResNetV2 takes 75 and more.
        num_channels: Of the input.
        weights: As `weights.with_weights` takes them, and refuses them.
    """

    def build(num_channels: int, is_pretrained: bool) -> keras.Model:
        shape = (image_size_px, image_size_px, num_channels)
        return BACKBONES[name](include_top=False, weights="imagenet" if is_pretrained else None, input_shape=shape)

    return with_weights(build, num_channels, weights)


def build_model(
    backbone: keras.Model, channel_mean: np.ndarray, channel_std: np.ndarray, num_classes: int, dropout: float
) -> keras.Model:
    """Puts normalisation before a backbone and a head behind it.

    The head is global average pooling, dropout and one dense layer: so a class's activation map is exactly its weighted sum
    of the backbone's feature maps (Zhou et al., CVPR 2016).

    ImageNet's weights expect pixels scaled to [-1, 1], which on photographs have a mean near 0 and a deviation of about 0.5.
    Stained cells are bright on black: scaled so, nearly all pixels would be near -1. Instead, each channel is standardised by
    the training split, to mean 0 and deviation 1. Twice the deviation makes no difference where batch normalisation after the
    first convolution normalises by the batch, as it does in every training step. Its moving averages, by which it normalises
    otherwise, fit ImageNet until training has updated them.

    Args:
        backbone: Maps float32 images to feature maps, height x width x features.
        channel_mean: Float, shape (channels,): grey levels that become 0.
        channel_std: Float, shape (channels,): grey levels that become 1.
        num_classes: The number of logits.
        dropout: The share of features dropped while training.

    Returns:
        A model from pixels, float32 in [0, 255] of shape (batch, height, width, channels), to logits of shape (batch, classes).
    """
    pixels = keras.Input(backbone.input_shape[1:], name="pixels")
    # A filter that is constant has no spread to divide by.
    variance = np.square(np.maximum(channel_std, 1.0))
    normalised = keras.layers.Normalization(mean=channel_mean, variance=variance, name="normalization")(pixels)
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone(normalised))
    kept = keras.layers.Dropout(dropout, name="dropout")(features)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(kept)
    return keras.Model(pixels, logits, name="classifier")


def backbone_of(network: keras.Model) -> keras.Model:
    """The backbone that `build_model` put into a network."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def follow_short_epochs(model: keras.Model, steps_per_epoch: int) -> None:
    """Makes batch normalisation's moving averages keep up with training where an epoch has few steps.

    Keras Applications' momentum of 0.99 averages over about 100 steps. Where an epoch has fewer, what is evaluated after it
    is a mixture of earlier networks: the averages then cover half an epoch. Training itself does not use them, and epochs of
    200 steps or more are left as they are.

    Args:
        model: A model that is not compiled yet; changed in place, with the models inside it.
        steps_per_epoch: The steps of an epoch.
    """
    momentum = max(0.5, 1 - 2 / steps_per_epoch)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, momentum)
        elif isinstance(layer, keras.Model):
            follow_short_epochs(layer, steps_per_epoch)
