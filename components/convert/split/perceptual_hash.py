"""A short code of what a sample shows, alike for near-duplicates: the same cells in another exposure, focus or crop.

The codes that are commonest elsewhere (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010) lose
a picture that is shifted by half a cell. The magnitudes of its Fourier spectrum do not: a shift only turns phases (Swaminathan,
Mao and Wu, "Robust and Secure Image Hashing", IEEE TIFS 2006, hash them for that). Each bit here says whether one magnitude
exceeds those around it, which gain, focus and noise hardly change (as in Haitsma and Kalker, "A Highly Robust Audio
Fingerprinting System", ISMIR 2002).
"""

import hashlib
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

# Red, green and blue, so that the hash is the same with yellow and without; at most so many of other stains.
HASHED_FILTERS = 3
BITS_PER_FILTER = 256
HASH_BITS = HASHED_FILTERS * BITS_PER_FILTER

_SIDE_PX = 64
# In periods per picture. What is coarser is uneven illumination rather than cells.
_LOWEST_FREQUENCY = 2
# Standard deviation in grey levels of the shrunk picture. What varies less is an empty filter with a few bright pixels.
_BLANK = 0.5


def perceptual_hash(filters: Sequence[NDArray[np.uint8]]) -> bytes:
    """Hashes a sample. Near-duplicates' hashes differ in few bits, those of unrelated samples in about half.

    Takes 0.4 ms for filters of 512 px. A picture turned by 180 degrees has the same hash; other turns and flips change it.

    Args:
        filters: The stains, of which the first three count: uint8, height x width, of any size, as decoded, so that the hash
            does not depend on the size that is trained on.

    Returns:
        BITS_PER_FILTER bits for each stain that counts. A blank one says nothing of which cells these are: its bits are a
        digest of the pictures, alike for exact copies only.
    """
    size = (_SIDE_PX, _SIDE_PX)
    shrunk = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in filters[:HASHED_FILTERS]])
    bits = np.packbits(_spectral_bits(shrunk.astype(np.float32)), axis=1)
    blank = shrunk.std(axis=(1, 2)) < _BLANK
    if blank.any():
        bits[blank] = np.frombuffer(hashlib.sha256(shrunk.tobytes()).digest(), np.uint8)
    return bits.tobytes()


def _spectral_bits(pictures: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each of the lowest frequencies is stronger than those around it: pictures x BITS_PER_FILTER."""
    window, own, around = _window_and_frequencies()
    pictures = (pictures - pictures.mean(axis=(1, 2), keepdims=True)) * window
    magnitudes = np.abs(np.fft.fft2(pictures)).reshape(len(pictures), -1)
    log_magnitudes = np.log(magnitudes + 1)  # of whole grey levels: 1 is far below the noise, and keeps zeros out of the log
    return log_magnitudes[:, own] > log_magnitudes[:, around].mean(axis=1)


@cache
def _window_and_frequencies() -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """A window that fades out the borders, where shifts change a picture; and positions in a flattened spectrum.

    The positions are those of the lowest frequencies, and of the eight around each. Of each pair of opposite frequencies,
    whose magnitudes are equal, there is one.
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
