"""Scale bars on pictures of samples."""

import functools
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_MARGIN_PX = 6
_FONT_PX = 11


def with_scale_bar(pixels: np.ndarray, width_um: float | None) -> np.ndarray:
    """Draws a bar of 1, 2 or 5 times a power of ten micrometres, at most a third of the picture, at its bottom right.

    Args:
        pixels: uint8, shape (height, width, 3).
        width_um: How much the picture shows from left to right, in micrometres; None for a picture without a scale bar.

    Returns:
        A picture of the same shape; the same array without a scale bar.
    """
    if not width_um:
        return pixels
    longest = width_um / 3
    decade = 10.0 ** math.floor(math.log10(longest))
    length_um = max(step * decade for step in (1, 2, 5) if step * decade <= longest)
    height_px, width_px, _ = pixels.shape
    right, bottom = width_px - _MARGIN_PX, height_px - _MARGIN_PX
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    pen.line([(right - round(length_um / width_um * width_px), bottom), (right, bottom)], fill="white", width=3)
    pen.text((right, bottom - 2), f"{length_um:g} µm", fill="white", font=report_font(), anchor="rb")
    return np.asarray(picture)


@functools.cache
def report_font() -> ImageFont.FreeTypeFont:
    """A font with most letters of most languages: Pillow's own lacks umlauts, and µ."""
    import matplotlib  # noqa: PLC0415  (not installed where there are no pictures)

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT_PX)
