"""Small image files of every supported kind, and random damage to them."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import cv2
import imagecodecs
import numpy as np
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.images.image import BadImageError
from tests.components.images.tiffs import make_tiff

_HEIGHT, _WIDTH = 24, 30
_Read = TypeVar("_Read")


def _planes(num: int, dtype: type[np.generic]) -> np.ndarray:
    """Smooth noise, which compresses: height x width x num, without the last axis for one."""
    noise = np.random.default_rng(num).normal(size=(_HEIGHT, _WIDTH, num))
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, np.iinfo(dtype).max, cv2.NORM_MINMAX)
    return np.squeeze(np.atleast_3d(smooth).astype(dtype))


def pillow_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A file as Pillow writes it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _interlaced(pixels: np.ndarray) -> bytes:
    """An 8-bit greyscale PNG whose rows come in seven passes (Adam7), without filters."""
    height, width = pixels.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in pixels[top::down, left::right])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_right_checksums(data: bytes) -> bytes:
    """Corrects the checksums of a PNG's damaged chunks, so that the damage reaches the decoder."""
    mended, position = bytearray(data), 8
    while position + 12 <= len(mended):
        end = position + 12 + struct.unpack(">I", mended[position : position + 4])[0]
        if end > len(mended):
            break
        mended[end - 4 : end] = struct.pack(">I", zlib.crc32(mended[position + 4 : end - 4]))
        position = end
    return bytes(mended)


_PNGS = {
    f"{8 * np.dtype(dtype).itemsize}-bit PNG of {num}": bytes(imagecodecs.png_encode(_planes(num, dtype)))
    for dtype in (np.uint8, np.uint16)
    for num in (1, 2, 3, 4)
}
PNGS: Mapping[str, bytes] = _PNGS | {
    "PNG with palette": pillow_file(Image.fromarray(_planes(3, np.uint8)).convert("P")),
    "1-bit PNG": pillow_file(Image.fromarray(_planes(1, np.uint8)).convert("1")),
    "interlaced PNG": _interlaced(_planes(1, np.uint8)),
}
JPEGS: Mapping[str, bytes] = {
    "grey JPEG": bytes(imagecodecs.jpeg8_encode(_planes(1, np.uint8))),
    "RGB JPEG": bytes(imagecodecs.jpeg8_encode(_planes(3, np.uint8))),
    "progressive JPEG": pillow_file(Image.fromarray(_planes(3, np.uint8)), "JPEG", progressive=True),
}
_OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "LZW": {"compression": "lzw", "predictor": True},
    "LZW in strips": {"compression": "lzw", "rowsperstrip": 8},
    "deflate": {"compression": "deflate"},
    "deflate in tiles": {"compression": "deflate", "tile": (16, 16)},
}
_TIFFS = {
    f"{8 * np.dtype(dtype).itemsize}-bit TIFF, {name}": make_tiff(_planes(1, dtype), **options)
    for dtype in (np.uint8, np.uint16)
    for name, options in _OPTIONS.items()
}
TIFFS: Mapping[str, bytes] = _TIFFS | {
    "TIFF, JPEG": make_tiff(_planes(1, np.uint8), compression="jpeg"),
    "RGB TIFF": make_tiff(_planes(3, np.uint8), photometric="rgb", compression="lzw"),
    "OME-TIFF, LZW": make_tiff(np.moveaxis(_planes(3, np.uint16), -1, 0), ome=True, **_OPTIONS["LZW"]),
    "OME-TIFF, JPEG": make_tiff(np.moveaxis(_planes(3, np.uint8), -1, 0), ome=True, compression="jpeg"),
}
FILES = PNGS | JPEGS | TIFFS


def pixel_bytes(data: bytes) -> np.ndarray:
    """The positions of the bytes that may change: in a TIFF, those of strips or tiles; otherwise, all after the first 8."""
    if not data.startswith(b"II"):
        return np.arange(8, len(data))
    pages = tifffile.TiffFile(io.BytesIO(data)).pages
    parts = [part for page in pages for part in zip(page.dataoffsets, page.databytecounts, strict=True)]
    return np.concatenate([np.arange(start, start + num_bytes) for start, num_bytes in parts])


@dataclass(frozen=True)
class Damage:
    """Damage to a file.

    Attributes:
        changes: For each change, the number of the byte, modulo the number of bytes that may change, and the bits to flip.
        kept: The share of the file that is left.
        is_mended: Whether the checksums of a PNG's chunks are corrected.
    """

    changes: tuple[tuple[int, int], ...]
    kept: float
    is_mended: bool

    def of(self, data: bytes) -> bytes:
        """The damaged file."""
        damaged, places = bytearray(data), pixel_bytes(data)
        for place, bits in self.changes:
            damaged[places[place % len(places)]] ^= bits
        cut = bytes(damaged[: round(self.kept * len(data))])
        return with_right_checksums(cut) if self.is_mended and data.startswith(b"\x89PNG") else cut


_bits = st.integers(0, 7).map(lambda bit: 1 << bit) | st.integers(1, 255)
_kept = st.one_of(*[st.just(1.0)] * 4, st.floats(0, 1))
damages = st.builds(Damage, st.lists(st.tuples(st.integers(0, 1 << 20), _bits), max_size=3).map(tuple), _kept, st.booleans())


def check_accepted(
    original: bytes, num_examples: int, read: Callable[[bytes], _Read], check: Callable[[bytes, _Read], None]
) -> None:
    """Damages a file in many ways and checks each version that is accepted. At least one must be.

    Args:
        original: The file.
        num_examples: The number of versions.
        read: Reads a file, or refuses it with a BadImageError.
        check: Called with the file and what was read from it.
    """
    num_accepted = 0

    @settings(max_examples=num_examples)
    @given(damages)
    def check_damaged(damage: Damage) -> None:
        nonlocal num_accepted
        data = damage.of(original)
        try:
            accepted = read(data)
        except BadImageError:
            return
        num_accepted += 1
        check(data, accepted)

    check_damaged()
    assert num_accepted
