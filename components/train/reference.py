"""Measures how far an image is from a network's training images.

Two sets of numbers are compared: the network's pooled features, and each channel's exposure and texture, to which a network may
learn to be indifferent. The distance in each set is Mahalanobis's (Lee et al., NeurIPS 2018); the covariance is shrunk towards
a diagonal one (Ledoit and Wolf, 2004), because there are often fewer images than features. The larger distance counts:
in a single set, the few numbers of exposure and texture would be lost among the many features.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf
from sklearn.covariance import LedoitWolf

from components.artifacts.examples import ExampleReader

# More images take time and hardly change the reference.
_MAX_IMAGES = 1000
_BATCH_SIZE = 32
# The number of validation images needed to estimate the 99th percentile of their distances.
_MIN_VALIDATION_IMAGES = 300
_USUAL_SHARE = 0.99
# Deviations are raised to at least this share of the median one, for numbers that hardly vary in training.
_MIN_RELATIVE_STD = 0.1
# Added to the variances, which are about 1: with few images, some directions have no variance.
_MIN_VARIANCE = 1e-3
# Images are halved to measure their texture as long as their side has at least this length.
_MIN_SIDE_PX = 16


# Pooled features, and numbers of `texture`: float32, shapes (images, features) and (images, numbers).
Appearance = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class Spread:
    """The distribution of some numbers over the training images.

    Attributes:
        mean: float32, shape (numbers,): the mean of each.
        whitening: float32, shape (numbers, numbers): makes the numbers uncorrelated, with equal deviations.
    """

    mean: np.ndarray
    whitening: np.ndarray

    def distances(self, numbers: tf.Tensor) -> tf.Tensor:
        """The distances of images from the training images: float32, shape (images,).

        Args:
            numbers: float32, shape (images, numbers).
        """
        return tf.sqrt(tf.reduce_mean(tf.square(tf.matmul(numbers - self.mean, self.whitening)), axis=1))


@dataclass(frozen=True)
class Reference:
    """The distribution of the training images.

    Attributes:
        features: That of their pooled features.
        texture: That of their numbers of `texture`.
    """

    features: Spread
    texture: Spread

    def distances(self, images: Appearance) -> tf.Tensor:
        """The distances of images from the training images: up to about 1 for 99 % of images like those.

        Returns:
            float32, shape (images,).
        """
        features, textures = images
        return tf.maximum(self.features.distances(features), self.texture.distances(textures))


def appearance(pixels: tf.Tensor, features: tf.Tensor) -> Appearance:
    """The numbers by which images are compared.

    Args:
        pixels: float32 in [0, 255], shape (images, height, width, channels).
        features: The network's pooled features, shape (images, features).
    """
    return tf.cast(features, tf.float32), texture(pixels)


def texture(pixels: tf.Tensor) -> tf.Tensor:
    """The exposure and texture of each channel, and how channels resemble each other.

    These are the logarithms of each channel's mean and deviation, and of the shares of its variance between 1 and 2 px, 2 and
    4 px, and so on; and the correlation of each pair of channels. The shares change with focus and magnification, like the
    slope of the power spectrum in the quality control of high-content screens (Bray et al., J Biomol Screen 2012); the
    correlations change if stains are swapped.

    Args:
        pixels: float32 in [0, 255], shape (images, height, width, channels).

    Returns:
        float32, shape (images, numbers).
    """
    mean, variance = tf.nn.moments(pixels, axes=[1, 2], keepdims=True)
    standardised = (pixels - mean) / (tf.sqrt(variance) + 1)
    correlations = tf.einsum("bhwi,bhwj->bij", standardised, standardised) / float(pixels.shape[1] * pixels.shape[2])
    pairs = [correlations[:, first, second] for first in range(pixels.shape[-1]) for second in range(first)]
    numbers = [tf.math.log(mean[:, 0, 0] + 1), tf.math.log(variance[:, 0, 0] + 1) / 2, *(pair[:, None] for pair in pairs)]
    finer = variance[:, 0, 0]
    while min(pixels.shape[1:3]) >= _MIN_SIDE_PX:
        pixels = tf.nn.avg_pool2d(pixels, 2, 2, "VALID")
        _, coarser = tf.nn.moments(pixels, axes=[1, 2])
        numbers.append(tf.math.log(tf.maximum(finer - coarser, 0) + 0.1) - tf.math.log(variance[:, 0, 0] + 1))
        finer = coarser
    return tf.concat(numbers, axis=1)


def fit_reference(train: Appearance, validation: Appearance) -> Reference:
    """Fits a reference to training images; validation images determine the scales of its distances."""
    return Reference(*map(fit_spread, train, validation))


def fit_spread(train: np.ndarray, validation: np.ndarray) -> Spread:
    """Fits the distribution of some numbers.

    Args:
        train: float32, shape (images, numbers): the training images.
        validation: float32, shape (images, numbers): of these images, 99 % will have a distance of at most 1.
    """
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.maximum(std, _MIN_RELATIVE_STD * float(np.median(std[std > 0])) if std.any() else 1.0)
    scaled = (train - mean) / std
    covariance = LedoitWolf(assume_centered=True).fit(scaled).covariance_ if len(scaled) > 1 else 0.0
    precision = np.linalg.inv(covariance + _MIN_VARIANCE * np.eye(len(mean)))
    spread = Spread(mean, (np.linalg.cholesky(precision) / std[:, None]).astype(np.float32))
    usual = float(np.quantile(spread.distances(tf.constant(validation)), _USUAL_SHARE))
    return replace(spread, whitening=spread.whitening / (usual or 1))


def measure_reference(
    networks: Mapping[str, keras.Model], train: ExampleReader, validation: ExampleReader
) -> tuple[Reference, dict[str, float]]:
    """Fits a reference to the training images as the first network sees them, at most 1,000 of them.

    Distances are scaled by the validation images if there are at least 300, or else by the training images.

    Returns:
        The reference, and the 99th percentile of the validation images' distances by network name; empty with fewer than 300.
    """
    numbers = _appearances(next(iter(networks.values())), train)
    if len(validation) < _MIN_VALIDATION_IMAGES:
        return fit_reference(numbers, numbers), {}
    of_networks = {name: _appearances(network, validation) for name, network in networks.items()}
    reference = fit_reference(numbers, next(iter(of_networks.values())))
    return reference, {name: float(np.quantile(reference.distances(of), _USUAL_SHARE)) for name, of in of_networks.items()}


def _appearances(network: keras.Model, examples: ExampleReader) -> Appearance:
    with_features = keras.Model(network.input, network.get_layer("pooling").output)

    @tf.function(reduce_retracing=True)
    def appearance_of(pixels: tf.Tensor) -> Appearance:
        images = tf.cast(pixels, tf.float32)
        return appearance(images, with_features(images, training=False))

    numbers = np.unique(np.linspace(0, len(examples) - 1, _MAX_IMAGES).astype(int))
    features, textures = zip(*(appearance_of(tf.constant(pixels)) for pixels in _batches(examples, numbers)), strict=True)
    return np.concatenate(features), np.concatenate(textures)


def _batches(examples: ExampleReader, numbers: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(numbers), _BATCH_SIZE):
        yield np.stack([examples.pixels(number) for number in numbers[start : start + _BATCH_SIZE]])
