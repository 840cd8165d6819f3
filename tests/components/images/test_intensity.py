from collections.abc import Callable

import numpy as np
import pytest

from components.images.intensity import channel_histograms, channel_moments

MakePixels = Callable[..., np.ndarray]


@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_moments_equal_those_of_numpy(make_pixels: MakePixels, num_channels: int) -> None:
    pixels = np.dstack([make_pixels(seed, 299) for seed in range(num_channels)])
    mean, mean_square = channel_moments(pixels)
    wide = pixels.astype(np.int64)
    np.testing.assert_array_equal(mean, wide.mean(axis=(0, 1)))
    np.testing.assert_array_equal(mean_square, (wide**2).mean(axis=(0, 1)))


def test_moments_are_exact_on_the_largest_image() -> None:
    mean, mean_square = channel_moments(np.full((4096, 4096, 1), 255, np.uint8))
    assert (mean.tolist(), mean_square.tolist()) == ([255.0], [65025.0])


@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_histograms_count_every_eighth_row(make_pixels: MakePixels, num_channels: int) -> None:
    pixels = np.dstack([make_pixels(seed, 75) for seed in range(num_channels)])
    histograms = channel_histograms(pixels)
    assert (histograms.shape, histograms.dtype) == ((num_channels, 256), np.int64)
    for channel in range(num_channels):
        np.testing.assert_array_equal(histograms[channel], np.bincount(pixels[::8, :, channel].ravel(), minlength=256))
