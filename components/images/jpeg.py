"""Decodes JPEG files."""

import logging
from functools import cache

import imagecodecs

from components.images.image import MAX_SIDE_PX, BadImageError, Image, check_sides, image_of_samples

_log = logging.getLogger(__name__)

# Markers of a frame's header, which holds the size: SOF0 to SOF15 without those with another meaning.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a segment: TEM, restarts, and the start of the image.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def read_jpeg(data: bytes) -> Image:
    """Decodes an 8-bit JPEG file, and warns once that it is lossy.

    Raises:
        BadImageError: If it is too large, of another kind, or damaged.
    """
    check_sides(*_size(data), MAX_SIDE_PX)
    if data.rfind(b"\xff\xd9") < 0:
        raise BadImageError("a truncated JPEG: its end is missing")
    try:
        pixels = imagecodecs.jpeg8_decode(data)
    except Exception as error:  # imagecodecs has an error class for each codec
        raise BadImageError(f"a damaged JPEG: {error}") from None
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise BadImageError("a CMYK JPEG: expected greyscale or RGB")
    _warn_once()
    return image_of_samples("8-bit JPEG", pixels)


def _size(data: bytes) -> tuple[int, int]:
    """The width and height in the header of an 8-bit file."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _FRAMES:
            if (num_bits := data[position + 4]) != 8:
                raise BadImageError(f"a JPEG of {num_bits} bits: expected 8")
            return int.from_bytes(data[position + 7 : position + 9]), int.from_bytes(data[position + 5 : position + 7])
        if marker == 0xFF:
            position += 1
        else:
            position += 2 if marker in _ALONE else 2 + int.from_bytes(data[position + 2 : position + 4])
    raise BadImageError("a damaged JPEG: its header is missing")


@cache
def _warn_once() -> None:
    _log.warning("JPEG is lossy: models also learn its blocks and blurred edges. Use the original files if you have them")
