"""Reads large TIFF pages in little memory: tiles or strips are averaged as they are decoded."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from components.images.image import MAX_SIDE_PX, BadImageError

# How much is read at once of a contiguous page.
_BAND_ROWS = 256
# And of a page in tiles or strips.
_READ_BYTES = 16 << 20


def reduction_of(height: int, width: int) -> int:
    """The smallest downsampling factor to at most 8192 px per side: 1 for pages that are small enough."""
    return -(-max(height, width) // MAX_SIDE_PX)


def reduced_page(page: Any, reduction: int, convert: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Decodes a page, and averages squares of pixels, rounded half up if values are integers.

    Incomplete squares at the right and lower edge are dropped.

    Args:
        page: The page, from tifffile.
        reduction: The side of the squares.
        convert: From stored values to grey levels, both of shape (height, width, samples).

    Returns:
        Shape (height, width, samples), in the type returned by `convert`.

    Raises:
        BadImageError: If the page has depth, or part of it is missing.
    """
    num_separate, depth, height, width, _ = page.shaped
    if depth > 1:
        raise BadImageError("a large TIFF whose pages have depth: save each plane as a page")
    rows, columns = height // reduction, width // reduction
    sums: np.ndarray | None = None
    dtype = np.dtype(np.uint8)
    for stored, separate, top, left in _blocks(page):
        block = convert(stored)
        dtype = block.dtype
        if sums is None:
            is_small = dtype.kind == "u" and dtype.itemsize <= 2
            sums = np.zeros((rows, columns, num_separate * block.shape[2]), np.uint32 if is_small else np.float64)
        part, row, column = _sum_squares(block, top, left, reduction, sums.dtype)
        target = sums[row : row + part.shape[0], column : column + part.shape[1]]
        first = separate * block.shape[2]
        target[..., first : first + block.shape[2]] += part[: target.shape[0], : target.shape[1]]
    if sums is None:
        raise BadImageError("a damaged TIFF: its pixels are missing")
    num = reduction**2
    if dtype.kind == "f":
        sums /= num
    else:
        sums += num // 2
        sums //= num
    return sums.astype(dtype.newbyteorder("="))


def _blocks(page: Any) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """The blocks of a page, of shape (height, width, samples), with their separately stored sample and upper left corner."""
    num_separate, _, height, width, samples = page.shaped
    if not page.is_contiguous:
        for block, (separate, _, top, left, _), shape in page.segments(maxworkers=1, buffersize=_READ_BYTES):
            if block is None:
                raise BadImageError("a damaged TIFF: a part of its pixels is missing")
            yield block[0, : min(shape[1], height - top), : min(shape[2], width - left)], separate, top, left
        return
    file = page.parent.filehandle
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    for separate in range(num_separate):
        for top in range(0, height, _BAND_ROWS):
            num_rows = min(_BAND_ROWS, height - top)
            file.seek(page.dataoffsets[0] + (separate * height + top) * width * samples * dtype.itemsize)
            values = np.frombuffer(file.read(num_rows * width * samples * dtype.itemsize), dtype)
            yield values.reshape(num_rows, width, samples), separate, top, 0


def _sum_squares(block: np.ndarray, top: int, left: int, reduction: int, dtype: np.dtype) -> tuple[np.ndarray, int, int]:
    """The sums of a block's pixels over each square, and the row and column of the first square."""
    for axis, start in enumerate((top, left)):
        squares = np.arange(start, start + block.shape[axis]) // reduction
        block = np.add.reduceat(block, np.flatnonzero(np.diff(squares, prepend=-1)), axis=axis, dtype=dtype)
    return block, top // reduction, left // reduction
