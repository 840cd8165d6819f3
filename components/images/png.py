"""Decodes PNG files of any kind."""

import re
import struct

import imagecodecs
import kornia_rs
import numpy as np

from components.images.image import BadImageError, Image, image_of_samples

# Beyond this, a header is a decompression bomb or damaged: cameras have up to 6000 pixels per side.
MAX_SIDE_PX = 8192

_HEADER_BYTES = 33
_END = b"IEND\xaeB`\x82"
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGB with alpha"}
# kornia_rs's decoder and mode for each kind that it supports; it is faster than imagecodecs.
_FAST = {
    (8, 0): ("decode_image_png_u8", "mono"),
    (8, 2): ("decode_image_png_u8", "rgb"),
    (16, 0): ("decode_image_png_u16", "mono"),
    (8, 6): ("decode_image_png_u8", "rgba"),
    (16, 2): ("decode_image_png_u16", "rgb"),
    (16, 6): ("decode_image_png_u16", "rgba"),
}


def check_sides(width: int, height: int, max_side_px: int) -> None:
    """Refuses an image that is too large, before it is decoded.

    Raises:
        BadImageError: If a side is beyond the limit of the format.
    """
    if not (0 < width <= max_side_px and 0 < height <= max_side_px):
        raise BadImageError(f"{width} x {height} pixels: expected sides of 1 to {max_side_px}")


def read_png(data: bytes) -> Image:
    """Decodes a PNG file.

    Raises:
        BadImageError: If it is too large or damaged. No file takes more memory than the largest image.
    """
    if len(data) < _HEADER_BYTES or data[12:16] != b"IHDR":
        raise BadImageError("a damaged PNG: its header is missing")
    width, height, bit_depth, colour_type = struct.unpack(">IIBB", data[16:26])
    check_sides(width, height, MAX_SIDE_PX)
    if colour_type not in _COLOUR_TYPES:
        raise BadImageError(f"a damaged PNG: its colour type is {colour_type}")
    if data.rfind(_END) < 0:
        raise BadImageError("a truncated PNG: its end is missing")
    fast = _FAST.get((bit_depth, colour_type))
    try:
        if fast:
            pixels = np.asarray(getattr(kornia_rs.io, fast[0])(data, (height, width), fast[1]))
        else:
            pixels = imagecodecs.png_decode(data)
    except Exception as error:  # kornia_rs raises a plain Exception for any damage
        raise BadImageError(f"a damaged PNG: {_cause(error)}") from None
    if pixels.shape[-1] == 1:
        pixels = pixels.reshape(height, width)
    return image_of_samples(f"{max(8, bit_depth)}-bit {_COLOUR_TYPES[colour_type]} PNG", pixels)


def _cause(error: Exception) -> str:
    """The cause of an error without details that differ between files, because reasons are counted: `CRC error`."""
    if isinstance(error, UnicodeDecodeError):  # from an error that quotes the file
        return "invalid chunk"
    message = str(error).strip().splitlines()[-1].removeprefix("Failed to decode the png image. ")
    return re.split(r"[.:\d]", message)[0].strip()
