"""From the PNG files of one sample to the pixels that are trained on."""

import struct

import cv2
import kornia_rs
import numpy as np

# Beyond this a header is a decompression bomb or damage: the atlas's largest images have 3072 x 3072 pixels.
MAX_SIDE_PX = 4096

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREYSCALE = 0
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGB with alpha"}


class BadImageError(ValueError):
    """An image that cannot be used. Its message is the reason that is shown in the quarantine."""


def decode_png(data: bytes) -> np.ndarray:
    """Decodes an 8-bit greyscale PNG file.

    Returns:
        uint8 pixels, height x width.

    Raises:
        BadImageError: If it is anything else, is too large, or is damaged.
    """
    if not data.startswith(_SIGNATURE) or len(data) < 33 or data[12:16] != b"IHDR":
        raise BadImageError(f"no PNG file: begins with {data[:8]!r}")
    width, height, bit_depth, colour_type = struct.unpack(">IIBB", data[16:26])
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise BadImageError(f"{width} x {height} pixels: expected at most {MAX_SIDE_PX} x {MAX_SIDE_PX}")
    if (bit_depth, colour_type) != (8, _GREYSCALE):
        kind = _COLOUR_TYPES.get(colour_type, f"of unknown colour type {colour_type}")
        raise BadImageError(f"a {bit_depth}-bit {kind} PNG: expected 8-bit greyscale")
    try:
        return np.asarray(kornia_rs.io.decode_image_png_u8(data, (height, width), "mono"))[:, :, 0]
    except Exception as error:  # kornia_rs raises plain Exception for whatever is wrong with a file
        raise BadImageError(f"a damaged PNG: {str(error).strip().splitlines()[-1]}") from None


def stack_filters(images: list[np.ndarray], image_size_px: int) -> np.ndarray:
    """Resizes a sample's filters and makes them the channels of one image.

    The resizing averages areas (OpenCV's INTER_AREA), as shrinking without aliasing wants.

    Args:
        images: uint8, height x width, one a channel.
        image_size_px: The side of the square result.

    Returns:
        uint8, image_size_px x image_size_px x channels.

    Raises:
        BadImageError: If the filters differ in size, are not square, or are smaller than the result.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{width} x {height}" for height, width in sorted(shapes))
        raise BadImageError(f"filters of different sizes: {sizes} pixels")
    height, width = shapes.pop()
    if height != width:
        raise BadImageError(f"{width} x {height} pixels: expected a square image")
    if height < image_size_px:
        raise BadImageError(f"{width} x {height} pixels: smaller than image_size_px={image_size_px}")
    size = (image_size_px, image_size_px)
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images], axis=-1)
