"""Measures how far an image is from a network's training images.

It is the Mahalanobis distance of the network's pooled features (Lee et al., NeurIPS 2018), together with the mean and the
deviation of the grey levels of each channel, which the network's normalisation may hide. The covariance is shrunk towards a
diagonal one (Ledoit and Wolf, 2004), because there are often fewer images than features.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
# Added to the variances, which are about 1, as few images leave directions without any variance.
_MIN_VARIANCE = 1e-3


@dataclass(frozen=True)
class Reference:
    """The distribution of the training images, as a network sees them.

    Attributes:
        mean: float32, shape (numbers,): the mean of each number of `appearance`.
        whitening: float32, shape (numbers, numbers): makes the numbers uncorrelated, with deviation 1.
    """

    mean: np.ndarray
    whitening: np.ndarray

    def distances(self, numbers: tf.Tensor) -> tf.Tensor:
        """The distances of images from the training images: about 1 for one of them.

        Args:
            numbers: float32, shape (images, numbers), from `appearance`.

        Returns:
            float32, shape (images,).
        """
        return tf.sqrt(tf.reduce_mean(tf.square(tf.matmul(numbers - self.mean, self.whitening)), axis=1))


def appearance(pixels: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
    """The numbers by which images are compared.

    Args:
        pixels: float32 in [0, 255], shape (images, height, width, channels).
        features: The network's pooled features, shape (images, features).

    Returns:
        float32, shape (images, features + 2 * channels).
    """
    mean, variance = tf.nn.moments(pixels, axes=[1, 2])
    return tf.concat([tf.cast(features, tf.float32), mean, tf.sqrt(variance)], axis=1)


def fit_reference(numbers: np.ndarray) -> Reference:
    """Fits a reference to training images.

    Args:
        numbers: float32, shape (images, numbers), from `appearance`.
    """
    mean, std = numbers.mean(axis=0), numbers.std(axis=0)
    std = np.maximum(std, _MIN_RELATIVE_STD * float(np.median(std[std > 0])) if std.any() else 1.0)
    scaled = (numbers - mean) / std
    covariance = LedoitWolf(assume_centered=True).fit(scaled).covariance_ if len(scaled) > 1 else 0.0
    precision = np.linalg.inv(covariance + _MIN_VARIANCE * np.eye(len(mean)))
    return Reference(mean, (np.linalg.cholesky(precision) / std[:, None]).astype(np.float32))


def measure_reference(network: keras.Model, examples: ExampleReader) -> Reference:
    """Fits a reference to a network's training images, at most 1,000 of them."""
    return fit_reference(_appearances(network, examples))


def usual_distances(networks: Mapping[str, keras.Model], reference: Reference, validation: ExampleReader) -> dict[str, float]:
    """The 99th percentile of the validation images' distances, by network name; empty with fewer than 300 images."""
    if len(validation) < _MIN_VALIDATION_IMAGES:
        return {}
    distances = {name: reference.distances(tf.constant(_appearances(each, validation))) for name, each in networks.items()}
    return {name: float(np.quantile(of_network, _USUAL_SHARE)) for name, of_network in distances.items()}


def _appearances(network: keras.Model, examples: ExampleReader) -> np.ndarray:
    with_features = keras.Model(network.input, network.get_layer("pooling").output)

    @tf.function(reduce_retracing=True)
    def appearance_of(pixels: tf.Tensor) -> tf.Tensor:
        images = tf.cast(pixels, tf.float32)
        return appearance(images, with_features(images, training=False))

    numbers = np.unique(np.linspace(0, len(examples) - 1, _MAX_IMAGES).astype(int))
    return np.concatenate([appearance_of(tf.constant(pixels)) for pixels in _batches(examples, numbers)])


def _batches(examples: ExampleReader, numbers: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(numbers), _BATCH_SIZE):
        yield np.stack([examples.pixels(number) for number in numbers[start : start + _BATCH_SIZE]])
