"""A perceptual hash of a sample, similar for near-duplicates: the same cells in another exposure, focus or crop.

The most common hashes (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010) do not recognise an
image that is shifted by half a cell. The magnitudes of its Fourier spectrum hardly change, because a shift affects only the
phases (Swaminathan, Mao and Wu, "Robust and Secure Image Hashing", IEEE TIFS 2006, hash them for this reason). Each bit says
whether one magnitude exceeds those around it, which gain, focus and noise hardly change (as in Haitsma and Kalker, "A Highly
Robust Audio Fingerprinting System", ISMIR 2002).
"""

import hashlib
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from components.artifacts.parameters import Levels

# Red, green and blue, so that the hash is the same with and without yellow; at most as many of other stains.
HASHED_FILTERS = 3
BITS_PER_FILTER = 256
HASH_BITS = HASHED_FILTERS * BITS_PER_FILTER

_SIDE_PX = 64
# In periods per image. Lower frequencies are uneven illumination rather than cells.
_LOWEST_FREQUENCY = 2
# The standard deviation in grey levels of the downscaled image. Below it, a filter is empty but for a few bright pixels.
_BLANK = 0.5


def perceptual_hash(filters: Sequence[NDArray[np.generic]], levels: Sequence[Levels] = ()) -> bytes:
    """Hashes a sample. The hashes of near-duplicates differ in few bits, those of unrelated samples in about half.

    Takes 0.4 ms for filters of 512 px. An image rotated by 180 degrees has the same hash; other rotations and flips change it.

    Args:
        filters: The stains, of which the first three count: shape (height, width), of any size, as decoded, so that the hash
            does not depend on the size of the examples. uint8, unless there are `levels`.
        levels: The grey levels of each stain that become black and white, so that the hash does not depend on the range of the
            examples.

    Returns:
        BITS_PER_FILTER bits for each stain that counts. A blank stain does not identify the cells, so its bits are a digest of
        the images, which is equal only for exact copies.
    """
    size = (_SIDE_PX, _SIDE_PX)
    if levels:
        filters = [_scaled(image, *ends) for image, ends in zip(filters, levels, strict=True)]
    shrunk = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in filters[:HASHED_FILTERS]])
    bits = np.packbits(_spectral_bits(shrunk.astype(np.float32)), axis=1)
    blank = shrunk.std(axis=(1, 2)) < _BLANK
    if blank.any():
        bits[blank] = np.frombuffer(hashlib.sha256(shrunk.tobytes()).digest(), np.uint8)
    return bits.tobytes()


def _scaled(image: NDArray[np.generic], low: float, high: float) -> NDArray[np.float32]:
    return ((image.astype(np.float32) - low) * (255 / (high - low))).clip(0, 255)


def _spectral_bits(pictures: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each of the lowest frequencies is stronger than those around it: shape (pictures, BITS_PER_FILTER)."""
    window, own, around = _window_and_frequencies()
    pictures = (pictures - pictures.mean(axis=(1, 2), keepdims=True)) * window
    magnitudes = np.abs(np.fft.fft2(pictures)).reshape(len(pictures), -1)
    log_magnitudes = np.log(magnitudes + 1)  # 1 is far below the noise, and avoids the log of 0
    return log_magnitudes[:, own] > log_magnitudes[:, around].mean(axis=1)


@cache
def _window_and_frequencies() -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """A window that fades out the borders, where shifts change an image; and positions in a flattened spectrum.

    The positions are those of the lowest frequencies, and of the eight around each. Only one of each pair of opposite
    frequencies is included, because their magnitudes are equal.
    """
    fade = np.sin(np.pi * (np.arange(_SIDE_PX) + 0.5) / _SIDE_PX)
    window = np.outer(fade, fade).astype(np.float32)
    reach = np.arange(-_SIDE_PX // 2, _SIDE_PX // 2)
    y, x = (axis.ravel() for axis in np.meshgrid(reach, reach, indexing="ij"))
    half = (x > 0) | ((x == 0) & (y > 0))
    kept = np.flatnonzero(half & (x * x + y * y >= _LOWEST_FREQUENCY**2))
    lowest = kept[np.argsort((x * x + y * y)[kept], kind="stable")[:BITS_PER_FILTER]]
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]

    def position(dy: int, dx: int) -> NDArray[np.intp]:
        return (y[lowest] + dy) % _SIDE_PX * _SIDE_PX + (x[lowest] + dx) % _SIDE_PX

    return window, position(0, 0), np.stack([position(dy, dx) for dy, dx in steps])
