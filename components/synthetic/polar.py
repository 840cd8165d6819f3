"""Directions and distances as whole numbers: what every shape is made of.

A cell and its nucleus are outlines given as a radius for each of 1024 directions around the nucleus, so that a pixel's depth
inside either is one table look-up away. Distances are counted in eighths of a pixel, directions in 1024ths of a turn.

Sines, tangents and roots differ in their last bit between processors, so they are rounded once to whole numbers, here, and
nothing else calls them. A test shows that no value lies near the middle between two whole numbers, where the last bit would
decide. Everything after works on whole numbers, or on floats with + - * / and square roots alone, which IEEE 754 defines to the
last bit. Sums of floats are avoided, since NumPy adds in an order that depends on the processor.
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
    """Cosine of each direction, times `COSINE_ONE`."""
    return np.rint(exact_cosines()).astype(np.int64)


def exact_cosines() -> NDArray[np.float64]:
    """What `cosines` rounds."""
    exact: NDArray[np.float64] = np.cos(np.arange(TURN) * (2 * np.pi / TURN)) * COSINE_ONE
    return exact


def cosine(turns: Ints) -> Ints:
    """Cosine of any whole number of 1024ths of a turn, times `COSINE_ONE`."""
    found: Ints = cosines()[turns & (TURN - 1)]
    return found


def sine(turns: Ints) -> Ints:
    """Sine of any whole number of 1024ths of a turn, times `COSINE_ONE`."""
    return cosine(turns - TURN // 4)


def offsets() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height and width of each pixel from the middle of a square that reaches `REACH_PX` to each side."""
    steps = np.arange(-REACH_PX, REACH_PX + 1, dtype=np.float64)
    return np.broadcast_to(steps[:, None], (len(steps),) * 2), np.broadcast_to(steps, (len(steps),) * 2)


def exact_directions() -> NDArray[np.float64]:
    """What `directions` rounds."""
    down, right = offsets()
    return np.arctan2(down, right) * (TURN / (2 * np.pi))


@cache
def directions() -> NDArray[np.uint16]:
    """Direction of each pixel from the middle of the square."""
    return (np.rint(exact_directions()).astype(np.int64) & (TURN - 1)).astype(np.uint16)


@cache
def distances() -> NDArray[np.int16]:
    """Distance in eighths of a pixel of each pixel from the middle of the square."""
    down, right = offsets()
    rounded: NDArray[np.int16] = np.rint(np.sqrt(down * down + right * right) * EIGHTHS).astype(np.int16)
    return rounded
