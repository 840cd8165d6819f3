"""Decodes PNG files of any kind."""

import re
import struct
from collections.abc import Iterator, Sequence

import imagecodecs
import kornia_rs
import numpy as np

from components.images.image import MAX_SIDE_PX, BadImageError, Image, check_sides, image_of_samples

_SIGNATURE_BYTES = 8
_HEADER_BYTES = 33
# A chunk's length, kind and checksum.
_FRAME_BYTES = 12
# The chunks that are decoded. Other chunks whose kind begins with a capital letter must not be ignored.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_END = b"\0\0\0\0IEND\xaeB`\x82"
_MAX_BLOCK_BYTES = 0xFFFF
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with alpha", 6: "RGB with alpha"}
# kornia_rs's decoder and mode, and the bytes of a pixel, for each kind that it supports; it is faster than
# imagecodecs.
_FAST = {
    (8, 0): ("decode_image_png_u8", "mono", 1),
    (8, 2): ("decode_image_png_u8", "rgb", 3),
    (16, 0): ("decode_image_png_u16", "mono", 2),
    (8, 6): ("decode_image_png_u8", "rgba", 4),
    (16, 2): ("decode_image_png_u16", "rgb", 6),
    (16, 6): ("decode_image_png_u16", "rgba", 8),
}


def read_png(data: bytes) -> Image:
    """Decodes a PNG file and verifies all its checksums.

    Raises:
        BadImageError: If it is too large or damaged. No file takes more than three times the memory of the largest image.
    """
    if len(data) < _HEADER_BYTES or data[12:16] != b"IHDR":
        raise BadImageError("a damaged PNG: its header is missing")
    width, height, bit_depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    check_sides(width, height, MAX_SIDE_PX)
    if colour_type not in _COLOUR_TYPES:
        raise BadImageError(f"a damaged PNG: its colour type is {colour_type}")
    parts = [content for kind, content in chunks(data) if kind == b"IDAT"]
    fast = None if interlace else _FAST.get((bit_depth, colour_type))
    try:
        if fast:
            function, mode, pixel_bytes = fast
            plain = _without_compression(data[:_HEADER_BYTES], parts, height * (1 + width * pixel_bytes))
            pixels = np.asarray(getattr(kornia_rs.io, function)(plain, (height, width), mode))
        else:
            pixels = imagecodecs.png_decode(data)
    except Exception as error:  # kornia_rs raises a plain Exception for any damage
        raise BadImageError(f"a damaged PNG: {_cause(error)}") from None
    if pixels.shape[-1] == 1:
        pixels = pixels.reshape(height, width)
    return image_of_samples(f"{max(8, bit_depth)}-bit {_COLOUR_TYPES[colour_type]} PNG", pixels)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and content of each chunk.

    Raises:
        BadImageError: If a chunk does not match its checksum or is of an unknown critical kind, or the last one is missing.
    """
    position, kind = _SIGNATURE_BYTES, b""
    while kind != b"IEND":
        end = position + _FRAME_BYTES + int.from_bytes(data[position : position + 4])
        if end > len(data):
            raise BadImageError("a truncated PNG: its end is missing")
        chunk = data[position + 4 : end - 4]
        kind = chunk[:4]
        if imagecodecs.deflate_crc32(chunk) != int.from_bytes(data[end - 4 : end]):
            raise BadImageError("a damaged PNG: CRC error")
        if kind[:1].isupper() and kind not in _CRITICAL:
            raise BadImageError("a damaged PNG: unknown chunk")
        yield kind, chunk[4:]
        position = end


def _without_compression(header: bytes, parts: Sequence[bytes], num_bytes: int) -> bytes:
    """A PNG file of the same pixels in uncompressed blocks.

    kornia_rs does not verify the checksum of the inflated pixels, but libdeflate does. Inflating is most of the work of
    decoding, and this way it is done only once.

    Args:
        header: The file up to its pixels.
        parts: The compressed pixels.
        num_bytes: Their size when inflated.

    Raises:
        ValueError: If their size or checksum does not match.
    """
    try:
        inflated = memoryview(imagecodecs.deflate_decode(b"".join(parts), out=num_bytes))
    except imagecodecs.DeflateError:
        inflated = memoryview(b"")
    if len(inflated) != num_bytes:
        raise ValueError("the compressed pixels do not have their checksum, or not the size in the header")
    pieces: list[bytes | memoryview] = [b"IDAT\x78\x01"]
    for start in range(0, num_bytes, _MAX_BLOCK_BYTES):
        block = inflated[start : start + _MAX_BLOCK_BYTES]
        is_last = start + _MAX_BLOCK_BYTES >= num_bytes
        pieces += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    stored = b"".join([*pieces, b"\0\0\0\0"])
    checksum = imagecodecs.deflate_crc32(stored)
    return b"".join([header, struct.pack(">I", len(stored) - 4), stored, struct.pack(">I", checksum), _END])


def _cause(error: Exception) -> str:
    """The cause of an error without details that differ between files, because reasons are counted: `CRC error`."""
    if isinstance(error, UnicodeDecodeError):  # from an error that quotes the file
        return "invalid chunk"
    message = (str(error).strip() or "invalid header").splitlines()[-1].removeprefix("Failed to decode the png image. ")
    return re.split(r"[.:\d]", message)[0].strip()
