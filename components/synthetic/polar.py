"""Directions and distances as whole numbers, from which all shapes are computed.

The outlines of a cell and its nucleus are radii in 1024 directions around the nucleus, so that a table look-up gives a pixel's
depth inside either. Distances are in eighths of a pixel, directions in 1024ths of a turn.

Sines and tangents differ in their last bit between processors, so they are only computed here and rounded to whole numbers. A
test shows that no value is close to the middle between two whole numbers, where the last bit would decide. Everything else
uses whole numbers, or floats with only + - * / and square roots, which IEEE 754 defines to the last bit. Sums of floats are
avoided, because the order in which NumPy adds depends on the processor.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

TURN = 1024
EIGHTHS = 8
REACH_PX = 176
COSINE_ONE = 1 << 14

Ints = NDArray[np.int64]


@cache
def cosines() -> Ints:
    """The cosine of each direction, times `COSINE_ONE`."""
    return np.rint(exact_cosines()).astype(np.int64)


def exact_cosines() -> NDArray[np.float64]:
    """The unrounded `cosines`."""
    exact: NDArray[np.float64] = np.cos(np.arange(TURN) * (2 * np.pi / TURN)) * COSINE_ONE
    return exact


def cosine(turns: Ints) -> Ints:
    """The cosine of a whole number of 1024ths of a turn, times `COSINE_ONE`."""
    found: Ints = cosines()[turns & (TURN - 1)]
    return found


def sine(turns: Ints) -> Ints:
    """The sine of a whole number of 1024ths of a turn, times `COSINE_ONE`."""
    return cosine(turns - TURN // 4)


def offsets() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The vertical and horizontal offset of each pixel from the centre of a square of 2 * `REACH_PX` + 1 pixels per side."""
    steps = np.arange(-REACH_PX, REACH_PX + 1, dtype=np.float64)
    return np.broadcast_to(steps[:, None], (len(steps),) * 2), np.broadcast_to(steps, (len(steps),) * 2)


def exact_directions() -> NDArray[np.float64]:
    """The unrounded `directions`."""
    down, right = offsets()
    return np.arctan2(down, right) * (TURN / (2 * np.pi))


@cache
def directions() -> NDArray[np.uint16]:
    """The direction of each pixel from the centre of the square."""
    return (np.rint(exact_directions()).astype(np.int64) & (TURN - 1)).astype(np.uint16)


@cache
def distances() -> NDArray[np.int16]:
    """The distance of each pixel from the centre of the square, in eighths of a pixel."""
    down, right = offsets()
    rounded: NDArray[np.int16] = np.rint(np.sqrt(down * down + right * right) * EIGHTHS).astype(np.int16)
    return rounded
