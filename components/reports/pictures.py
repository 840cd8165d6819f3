"""Pictures of samples in reports: the stains in colour, and an activation map over them."""

import io

import numpy as np
from PIL import Image

from components.reports.scale_bar import with_scale_bar

SIDE_PX = 200
# The first that makes a picture small is used: noise does not compress, and a report must stay below 10 MB.
_JPEG_QUALITIES = (85, 60, 20)
# The colour of the activation map over grey stains: orange, which few stains have.
_HEAT = np.array([255, 140, 0], np.float32)
_HEAT_OPACITY = 0.7


def draw(pixels: np.ndarray, heat: np.ndarray | None, width_um: float | None = None) -> np.ndarray:
    """Draws an image with a scale bar, and beside it the stains in grey under a map.

    Args:
        pixels: uint8, shape (height, width, 3): see `components.reports.stains.composite`.
        heat: float, shape (map height, map width), from 0 (none) to 1 (strongest). None draws the image alone.
        width_um: The width of the image in micrometres, for the scale bar; None for no scale bar.

    Returns:
        uint8, shape (side, side or twice the side, 3).
    """
    side = (SIDE_PX, SIDE_PX)
    method = Image.Resampling.BOX if pixels.shape[0] > SIDE_PX else Image.Resampling.BILINEAR
    colours = np.asarray(Image.fromarray(pixels).resize(side, method))
    with_bar = with_scale_bar(colours, width_um)
    if heat is None:
        return with_bar
    grey = colours.max(axis=2, keepdims=True)
    clipped = Image.fromarray(np.clip(heat, 0, 1).astype(np.float32))
    opacity = _HEAT_OPACITY * np.asarray(clipped.resize(side, Image.Resampling.BILINEAR))[:, :, None]
    return np.hstack([with_bar, (grey * (1 - opacity) + _HEAT * opacity).round().astype(np.uint8)])


def encode_jpeg(pixels: np.ndarray, max_bytes: int = 50_000) -> bytes:
    """Encodes a picture within a size, which noise may exceed a little.

    Args:
        pixels: uint8, shape (height, width, 3).
        max_bytes: The size.
    """
    for quality in _JPEG_QUALITIES:
        file = io.BytesIO()
        # Full colour resolution: halving it, as most JPEG files do, would blur red and blue stains.
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
        if file.tell() <= max_bytes:
            break
    return file.getvalue()
