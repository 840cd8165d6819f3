"""Finds the grey levels that become black and white for `intensity_range=auto`, one range per stain for all images.

An image spans the grey levels from its 0.1th to its 99.9th percentile. The range begins at the 5th percentile of the images'
lower ends and ends at the 95th percentile of their upper ends. So in 95 of 100 images, at most 1 in 1000 pixels is clipped at
either end, and neither hot pixels nor a few overexposed images darken all others. Both ends are rounded outwards to two digits
of the range's width: the range seldom changes when images are added, so that models trained before and after are comparable.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from components.artifacts.parameters import Levels
from components.images.grey_levels import check_numbers
from components.images.image import BadImageError

_CLIPPED_SHARE = 0.001
_UNUSUAL_SHARE = 0.05


def spanned_levels(plane: np.ndarray) -> Levels:
    """The 0.1th and 99.9th percentiles of an image, as grey levels in it; its lowest and highest level if these are equal.

    Args:
        plane: Integer or float, shape (height, width).

    Raises:
        BadImageError: If all pixels have the same grey level, or it contains infinite or NaN values.
    """
    check_numbers(plane)
    num_clipped = math.floor(_CLIPPED_SHARE * plane.size)
    ends = [num_clipped, plane.size - 1 - num_clipped]
    if plane.dtype in (np.uint8, np.uint16):
        num_levels = int(np.iinfo(plane.dtype).max) + 1
        seen = np.cumsum(cv2.calcHist([plane], [0], None, [num_levels], [0, num_levels]), dtype=np.int64)
        low, high = np.searchsorted(seen, ends, side="right").tolist()
    else:
        low, high = np.partition(plane, ends, axis=None)[ends].tolist()
    if low == high:
        low, high = plane.min().item(), plane.max().item()
    if low == high:
        raise BadImageError(f"all of one grey level, {low:g}")
    if not math.isfinite(high - low):
        raise BadImageError(f"damaged: its grey levels go from {low:g} to {high:g}")
    return float(low), float(high)


def common_range(spans: Sequence[Sequence[Levels]]) -> str:
    """The range of each stain in the format of the parameter `intensity_range`: `100:4000,0:2500,90:900`.

    Args:
        spans: The span of each stain in each image, from `spanned_levels`; at least one image.
    """
    lows, highs = np.moveaxis(np.asarray(spans, np.float64), 2, 0)
    low = np.quantile(lows, _UNUSUAL_SHARE, axis=0, method="inverted_cdf")
    high = np.quantile(highs, 1 - _UNUSUAL_SHARE, axis=0, method="inverted_cdf")
    return ",".join(map(_rounded, low.tolist(), high.tolist()))


def _rounded(low: float, high: float) -> str:
    """Rounds both ends outwards to two digits of the width."""
    exponent = math.floor(math.log10(high - low)) - 1
    # For steps below 1, multiplied by the inverse, because 10 ** -2 is not exact.
    step, per_step = (10.0**exponent, 1.0) if exponent >= 0 else (1.0, 10.0**-exponent)
    start, end = math.floor(low / step * per_step), math.ceil(high / step * per_step)
    return f"{start * step / per_step:.15g}:{end * step / per_step:.15g}"
