"""Scales grey levels of any depth to 8 bits, with one range for all images, because brightness carries information."""

import math
from functools import lru_cache

import cv2
import numpy as np

from components.artifacts.parameters import Levels
from components.images.image import BadImageError

_WHITE = 255
# The number of rows scaled at once, as scaling takes eight times their memory.
_BLOCK_ROWS = 256


def to_8_bits(plane: np.ndarray, levels: Levels | None) -> np.ndarray:
    """Scales grey levels linearly: LOW and below become 0, HIGH and above 255, rounded half up.

    Args:
        plane: Integer or float, shape (height, width).
        levels: LOW and HIGH; None for the whole range of 8 bits.

    Returns:
        uint8, shape (height, width).

    Raises:
        BadImageError: If it has more than 8 bits and no range is given, has 8 bits and HIGH is above 255, or contains NaN.
    """
    if not levels:
        if plane.dtype == np.uint8:
            return plane
        raise BadImageError(_advice(plane))
    low, high = levels
    if plane.dtype == np.uint8 and high > _WHITE:
        raise BadImageError(f"of 8 bits, and intensity_range={low:g}:{high:g} is for deeper files: give files of one kind")
    if plane.dtype in (np.uint8, np.uint16):
        return np.asarray(cv2.LUT(plane, _table(low, high, np.iinfo(plane.dtype).max + 1)))
    check_numbers(plane)
    blocks = [plane[start : start + _BLOCK_ROWS] for start in range(0, len(plane), _BLOCK_ROWS)]
    return np.concatenate([_scaled(block.astype(np.float64), low, high) for block in blocks])


def check_numbers(plane: np.ndarray) -> None:
    """Refuses a float image of any shape that contains NaN.

    Raises:
        BadImageError: If it contains NaN.
    """
    if plane.dtype.kind == "f" and np.isnan(plane).any():
        raise BadImageError("damaged: it holds values that are not numbers")


def _scaled(levels: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.floor(((levels.clip(low, high) - low) * 255) / (high - low) + 0.5).astype(np.uint8)


@lru_cache(maxsize=8)
def _table(low: float, high: float, num_levels: int) -> np.ndarray:
    return _scaled(np.arange(num_levels, dtype=np.float64), low, high).reshape(1, -1)


def _advice(plane: np.ndarray) -> str:
    """Advice on an image of more than 8 bits, with its grey levels."""
    low, high = plane.min().item(), plane.max().item()
    kind = "float" if plane.dtype.kind == "f" else f"{8 * plane.dtype.itemsize}-bit"
    return (
        f"{kind}, with grey levels from {low:g} to {high:g}: give intensity_range=LOW:HIGH, one for all images, such as "
        f"intensity_range={_proposed(plane.dtype, low, high)}; or, to train a model, intensity_range=auto"
    )


def _proposed(dtype: np.dtype, low: float, high: float) -> str:
    """A typical camera range that contains these levels: of 8, 10, 12, 14 or 16 bits, from 0 or from an offset."""
    if dtype.kind == "f":
        return (
            "0:1" if low >= 0 and high <= 1 else f"{math.floor(low)}:{math.ceil(high) if high > low else math.floor(low) + 1}"
        )
    offset = 0 if 0 <= low < 1 << 15 else int(low) >> 15 << 15
    bits = max(8, (int(high) - offset).bit_length())
    return f"{offset}:{offset + (1 << bits + bits % 2) - 1}"
