"""Checks that decoded images are exposed and that filters differ.

Good images are far from the bounds. In 64 real samples and 200 synthetic ones, at least 2.6 % of a filter's pixels are lit, and
at most 20 % of those (12 % in the real ones) are at the end of the scale.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from components.artifacts.index import ImageFile
from components.images.image import BadImageError

# A pixel is lit above this grey level. An image without stain has only the camera's noise below it.
_BLACK_LEVEL = 7
# Fewer lit pixels than this are hot pixels of the camera: 26 of 512 x 512.
_MIN_LIT_SHARE = 1e-4
# Beyond this, most of the filter has lost its structure.
_MAX_SATURATED_SHARE = 0.5


def check_exposure(image: np.ndarray) -> None:
    """Refuses an image that shows nothing.

    Args:
        image: uint8, shape (height, width).

    Raises:
        BadImageError: If it is black except for single pixels, or more than half of the lit pixels are at grey level 255.
    """
    num_lit = np.count_nonzero(image > _BLACK_LEVEL)
    if num_lit <= _MIN_LIT_SHARE * image.size:
        raise BadImageError(f"all black: fewer than 1 in 10,000 pixels is above grey level {_BLACK_LEVEL}")
    if np.count_nonzero(image == 255) > _MAX_SATURATED_SHARE * num_lit:
        raise BadImageError("saturated: more than half of what is lit is at grey level 255")


def check_distinct(images: Mapping[str, np.ndarray]) -> None:
    """Refuses a sample in which two filters show the same image.

    Args:
        images: The pixels of each filter, of any dtype and shape.

    Raises:
        BadImageError: If two filters have the same pixels.
    """
    for one, other in combinations(images, 2):
        if np.array_equal(images[one], images[other]):
            raise BadImageError(f"the {one} and {other} filters show the same image")


def check_distinct_files(files: Mapping[str, ImageFile]) -> None:
    """Refuses a sample that has the same file for two filters, by sizes and checksums from the index.

    Args:
        files: The file of each filter, including those that do not become channels.

    Raises:
        BadImageError: If two filters have the same content.
    """
    for one, other in combinations(files, 2):
        if (files[one].num_bytes, files[one].crc32c) == (files[other].num_bytes, files[other].crc32c):
            raise BadImageError(f"the {one} and {other} filters show the same image")
