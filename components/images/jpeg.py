"""Decodes JPEG files."""

import logging
import re
import struct
from functools import cache
from typing import NamedTuple

import imagecodecs

from components.images.image import MAX_SIDE_PX, BadImageError, Image, check_sides, image_of_samples

_log = logging.getLogger(__name__)

# Markers of a frame's header, which holds the size: SOF0 to SOF15 without those with another meaning.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a segment: TEM, restarts, and the start of the image.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_END, _SCAN = 0xD9, 0xDA
# Any marker but restarts. FF00 is a byte of the pixels, and FFFF is padding.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


class Frame(NamedTuple):
    """The header of a frame.

    Attributes:
        num_bits: The bits per sample.
        height_px: The height.
        width_px: The width.
        num_components: 1 for greyscale, 3 for colour.
        sampling: The horizontal and vertical sampling factors of the first component, four bits each.
    """

    num_bits: int
    height_px: int
    width_px: int
    num_components: int
    sampling: int


def read_jpeg(data: bytes) -> Image:
    """Decodes an 8-bit JPEG file, and warns once that it is lossy.

    Raises:
        BadImageError: If it is too large, of another kind, or damaged.
    """
    frame = read_frame(data)
    if frame.num_bits != 8:
        raise BadImageError(f"a JPEG of {frame.num_bits} bits: expected 8")
    check_sides(frame.width_px, frame.height_px, MAX_SIDE_PX)
    if not _has_end(data):
        raise BadImageError("a truncated JPEG: its end is missing")
    try:
        pixels = imagecodecs.jpeg8_decode(data)
    except Exception as error:  # imagecodecs has an error class for each codec
        raise BadImageError(f"a damaged JPEG: {error}") from None
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise BadImageError("a CMYK JPEG: expected greyscale or RGB")
    _warn_once()
    return image_of_samples("8-bit JPEG", pixels)


def read_frame(data: bytes) -> Frame:
    """Reads the header of a JPEG file, or of a strip or tile of a TIFF file, up to the first scan.

    Raises:
        BadImageError: If it has a gap, or no frame.
    """
    frame, position = None, 2
    while position + 12 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _SCAN and frame:
            return frame
        if marker in _FRAMES:
            frame = Frame(*struct.unpack(">BHHBxB", data[position + 4 : position + 12]))
        if marker == 0xFF:
            position += 1
        else:
            position += 2 if marker in _ALONE else 2 + int.from_bytes(data[position + 2 : position + 4])
    raise BadImageError("a damaged JPEG: its header is incomplete")


def _has_end(data: bytes) -> bool:
    """Whether the segments lead to the end of the image. The codec would fill in what a longer segment skips."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == _END:
            return True
        position += 0 if marker in _ALONE else int.from_bytes(data[position : position + 2])
    return False


@cache
def _warn_once() -> None:
    _log.warning("JPEG is lossy: models also learn its compression artefacts. Use the original files if you have them")
