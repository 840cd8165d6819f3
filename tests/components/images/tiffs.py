"""Writes TIFF files as tifffile and microscopes do."""

import io

import numpy as np
import tifffile


def make_tiff(pixels: np.ndarray, **options: object) -> bytes:
    """A TIFF file of some pixels; `options` are those of `tifffile.imwrite`."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **{"photometric": "minisblack"} | options)
    return file.getvalue()
