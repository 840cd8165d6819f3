"""From the PNG files of one sample to the pixels that are trained on."""

import re
import struct
from collections.abc import Mapping, Sequence

import cv2
import kornia_rs
import numpy as np

from components.images.plausibility import BadImageError, check_distinct, check_exposure
from components.images.png import EXPORT_ADVICE, other_than_png

__all__ = ["MAX_SIDE_PX", "BadImageError", "decode_filters", "decode_png", "png_size", "sample_pixels", "stack_filters"]

# Beyond this a header is a decompression bomb or damage: the atlas's largest images have 3072 x 3072 pixels.
MAX_SIDE_PX = 4096

# Beyond this, too much lies outside of the middle square.
_MAX_ASPECT = 1.5

_END = b"IEND\xaeB`\x82"
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGB with alpha"}
# kornia_rs's name of each kind of PNG that is taken.
_MODES = {(8, 0): "mono", (8, 2): "rgb"}


def sample_pixels(pngs: Mapping[str, bytes], filters: Sequence[str], image_size_px: int) -> np.ndarray:
    """Decodes, checks and resizes a sample's filters: `decode_filters` and `stack_filters` in one.

    Args:
        pngs: The PNG file of each filter.
        filters: The filters that become channels, in order.
        image_size_px: The side of the square result.

    Returns:
        uint8, image_size_px x image_size_px x channels.

    Raises:
        BadImageError: If the sample cannot be used.
    """
    return stack_filters(decode_filters(pngs, filters), image_size_px)


def decode_filters(pngs: Mapping[str, bytes], filters: Sequence[str]) -> list[np.ndarray]:
    """Decodes and checks a sample's filters, each once.

    Args:
        pngs: The PNG file of each filter.
        filters: The filters that are wanted.

    Returns:
        uint8, height x width, one for each of `filters`.

    Raises:
        BadImageError: If one is missing, cannot be decoded, is black or saturated, or shows the same as another.
    """
    images = {name: _decode_filter(pngs, name) for name in filters}
    check_distinct(images)
    return list(images.values())


def _decode_filter(pngs: Mapping[str, bytes], name: str) -> np.ndarray:
    if name not in pngs:
        raise BadImageError(f"the {name} filter is missing")
    try:
        image = decode_png(pngs[name], name)
        check_exposure(image)
    except BadImageError as error:
        raise BadImageError(f"the {name} filter is {error}", name) from None
    return image


def png_size(data: bytes) -> tuple[int, int]:
    """Reads the height and the width of a PNG from its header.

    Raises:
        BadImageError: If it is no PNG, or has no such size as an image of cells has.
    """
    if other := other_than_png(data):
        raise BadImageError(other)
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise BadImageError("a damaged PNG: its header is missing")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise BadImageError(f"{width} x {height} pixels: expected sides of 1 to {MAX_SIDE_PX}")
    return height, width


def decode_png(data: bytes, filter_name: str = "") -> np.ndarray:
    """Decodes a PNG file of one stain: 8-bit greyscale, or 8-bit RGB as the atlas's website colours it.

    Args:
        data: The file.
        filter_name: The filter that it shows, if known.

    Returns:
        uint8 pixels, height x width.

    Raises:
        BadImageError: If it is anything else, shows several stains, is too large, or is damaged. Memory stays within what
            the largest image takes, whatever the file holds.
    """
    size = png_size(data)
    bit_depth, colour_type = data[24], data[25]
    mode = _MODES.get((bit_depth, colour_type))
    if not mode:
        kind = _COLOUR_TYPES.get(colour_type, f"of unknown colour type {colour_type}")
        raise BadImageError(f"{'an' if bit_depth == 8 else 'a'} {bit_depth}-bit {kind} PNG: {EXPORT_ADVICE}")
    if data.rfind(_END) < 0:
        raise BadImageError("a truncated PNG: its end is missing")
    try:
        pixels = np.asarray(kornia_rs.io.decode_image_png_u8(data, size, mode))
    except Exception as error:  # kornia_rs raises plain Exception for whatever is wrong with a file
        raise BadImageError(f"a damaged PNG: {_cause(error)}") from None
    return pixels[:, :, 0] if mode == "mono" else _one_stain(pixels, filter_name)


def _cause(error: Exception) -> str:
    """What is wrong with a file, without what differs from file to file, for reasons are counted: `CRC error`."""
    message = str(error).strip().splitlines()[-1].removeprefix("Failed to decode the png image. ")
    return re.split(r"[.:\d]", message)[0].strip()


def _one_stain(colours: np.ndarray, filter_name: str) -> np.ndarray:
    """The stain that an RGB image shows in one colour: its only channel, or grey, or yellow as equal red and green."""
    used = [channel for channel in cv2.split(colours) if cv2.hasNonZero(channel)]
    alike = all(np.array_equal(used[0], other) for other in used[1:])
    if len(used) > 1 and not (alike and (len(used) == 3 or filter_name == "yellow")):
        raise BadImageError(f"an RGB PNG that uses {len(used)} channels, so shows more than one stain: {EXPORT_ADVICE}")
    return used[0] if used else colours[:, :, 0]


def stack_filters(images: Sequence[np.ndarray], image_size_px: int) -> np.ndarray:
    """Resizes a sample's filters and makes them the channels of one image.

    Of filters that are not quite square, the square in the middle is taken: cells keep their shape. The resizing
    averages areas (OpenCV's INTER_AREA), as shrinking without aliasing wants.

    Args:
        images: uint8, height x width, one a channel.
        image_size_px: The side of the square result.

    Returns:
        uint8, image_size_px x image_size_px x channels.

    Raises:
        BadImageError: If the filters differ in size, are far from square, or are smaller than the result.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{width} x {height}" for height, width in sorted(shapes))
        raise BadImageError(f"filters of different sizes: {sizes} pixels")
    height, width = shapes.pop()
    side = min(height, width)
    if max(height, width) > _MAX_ASPECT * side:
        raise BadImageError(
            f"{width} x {height} pixels: too far from square, for only the middle square is taken. Cut it into "
            "squares, each with a row of its own"
        )
    if side < image_size_px:
        raise BadImageError(
            f"{width} x {height} pixels: smaller than image_size_px={image_size_px}. Give image_size_px={side} or less"
        )
    top, left = (height - side) // 2, (width - side) // 2
    squares = [image[top : top + side, left : left + side] for image in images]
    size = (image_size_px, image_size_px)
    return np.asarray(cv2.resize(cv2.merge(squares), size, interpolation=cv2.INTER_AREA)).reshape(*size, len(images))
