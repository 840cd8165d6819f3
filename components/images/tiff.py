"""Reads TIFF files, including OME-TIFF, ImageJ's stacks and BigTIFF."""

import io
import logging
import math
import operator
import re
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import tifffile

from components.images.image import BadImageError, Image, check_sides, colour_names
from components.images.jpeg import Frame, read_frame
from components.images.large_tiff import reduced_page, reduction_of
from components.images.lzw import check_lzw

MAX_TIFF_SIDE_PX = 20_000
# The most channels, and the most planes of each, through depth and time.
_MAX_PLANES = 4096
_MAX_SAMPLES = 64
# The most that is decoded at once: the largest page of one 32-bit sample.
_MAX_PAGE_BYTES = 4 * MAX_TIFF_SIDE_PX**2

# tifffile's axes for pages whose meaning the file does not give.
_UNKNOWN_AXES = "IQ"
# Tags below it describe the pixels.
_FIRST_PRIVATE_TAG = 32768
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3}


def read_tiff(data: bytes, is_reduced: bool = True) -> Image:
    """Reads the header of a TIFF file. Planes are decoded on demand.

    Grey levels are kept as stored, with three exceptions: 1-bit images become 0 and 255, images whose white is 0 are inverted,
    and palettes are applied.

    Args:
        data: The file.
        is_reduced: Whether planes of more than 8192 px per side are downsampled by averaging: see `large_tiff`.

    Raises:
        BadImageError: If it is damaged, too large, holds several images, or does not hold grey levels.
    """
    return _guarded(_read, data, is_reduced)


class _Refusal(logging.Handler):
    """Refuses a file if tifffile logs an error and skips a part of it, such as the remaining pages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raises BadImageError, except for private tags, which some microscopes write carelessly."""
        tag = re.search(r"TiffTag (\d+) ", record.getMessage())
        if not tag or int(tag[1]) < _FIRST_PRIVATE_TAG:
            raise BadImageError("a damaged TIFF: a part of its header cannot be read")


_refusal = _Refusal()


def _guarded(read: Callable[..., Any], *arguments: object) -> Any:
    """Calls a function that uses tifffile. Errors that tifffile raises or logs count as damage to the file."""
    log = logging.getLogger("tifffile")
    log.setLevel(logging.ERROR)
    log.handlers, log.propagate = [_refusal], False
    try:
        with warnings.catch_warnings(action="ignore"):
            return read(*arguments)
    except (BadImageError, MemoryError):
        raise
    except Exception as error:
        raise BadImageError(f"a damaged TIFF: {type(error).__name__}") from error


def _read(data: bytes, is_reduced: bool) -> Image:
    file = tifffile.TiffFile(io.BytesIO(data))
    series = file.series[0]
    alike = [other for other in file.series if (other.shape, other.dtype) == (series.shape, series.dtype)]
    if len(alike) > 1:
        raise BadImageError(f"a TIFF of {len(alike)} images: expected one. Save each position as a file of its own")
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if len(sizes) < len(series.axes) or not {"Y", "X"} <= sizes.keys():
        raise BadImageError(f"a TIFF whose axes are {series.axes}: expected one Y and one X")
    check_sides(sizes["X"], sizes["Y"], MAX_TIFF_SIDE_PX)
    if series.dtype is None or series.dtype.kind not in "buif":
        raise BadImageError(f"a TIFF of {series.dtype} values: expected grey levels")
    return _image(file, series, sizes, reduction_of(sizes["Y"], sizes["X"]) if is_reduced else 1)


def _image(file: Any, series: Any, sizes: dict[str, int], reduction: int) -> Image:
    keyframe = series.keyframe
    outer = [axis for axis in series.axes if axis not in "YXS"]
    has_palette = keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE and keyframe.colormap is not None
    num_samples = 3 if has_palette else sizes.get("S", 1)
    is_rgb = has_palette or keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    has_alpha = bool(set(_ALPHA) & set(keyframe.extrasamples))
    unknown = [axis for axis in outer if axis in _UNKNOWN_AXES]
    is_unnamed = bool(unknown) and num_samples == 1 and "C" not in sizes
    channel_axis = unknown[0] if is_unnamed else "C"
    # The page of each channel and position in the stack.
    numbers = np.arange(math.prod(sizes[axis] for axis in outer)).reshape([sizes[axis] for axis in outer])
    if channel_axis in outer:
        numbers = np.moveaxis(numbers, outer.index(channel_axis), 0)
    numbers = numbers.reshape(sizes.get(channel_axis, 1), -1)
    num_channels, num_planes = numbers.shape
    if num_planes > _MAX_PLANES or num_channels > _MAX_PLANES or num_samples > _MAX_SAMPLES:
        raise BadImageError(
            f"a TIFF of {num_channels} channels and {num_planes} planes: expected at most {_MAX_PLANES} of each"
        )
    if num_samples > 1 and num_channels > 1:
        raise BadImageError("a TIFF of several pictures in colour: expected greyscale channels")

    is_colour = num_samples == (3 if is_rgb else 1) + has_alpha and num_samples > 1
    names = colour_names(num_samples) if is_colour else _channel_names(file, max(num_channels, num_samples))

    @lru_cache(maxsize=1)
    def page(number: int) -> np.ndarray:
        return _decode(series, number, numbers.size, has_palette, reduction)

    def plane(channel: int, number: int) -> np.ndarray:
        if num_samples == 1:
            return _guarded(page, int(numbers[channel, number]))
        return np.ascontiguousarray(_guarded(page, int(numbers[0, number]))[..., channel])

    return Image(
        kind=f"{'float' if series.dtype.kind == 'f' else f'{keyframe.bitspersample}-bit'} TIFF",
        channel_names=names,
        num_planes=num_planes,
        plane=plane,
        pixel_size_um=_pixel_size_um(file),
        is_colour=is_colour,
        has_unnamed_pages=is_unnamed,
        reduction=reduction,
    )


def _decode(series: Any, number: int, num_pages: int, has_palette: bool, reduction: int) -> np.ndarray:
    """Decodes a page to shape (height, width) or (height, width, samples)."""
    keyframe = series.keyframe

    def grey_levels(pixels: np.ndarray) -> np.ndarray:
        if has_palette:
            pixels = (keyframe.colormap.T[pixels.reshape(pixels.shape[:2])] >> 8).astype(np.uint8)
        elif pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if keyframe.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
            white = 255 if keyframe.bitspersample == 1 else 2**keyframe.bitspersample - 1
            pixels = pixels.dtype.type(white) - pixels
        return pixels

    if len(series.pages) == num_pages:
        page = series.pages[number]
        if page is None:
            raise BadImageError("an OME-TIFF whose planes are in other files: save it as one file")
        _check_bytes(page.chunks, page.dtype)  # the shape of a tile or strip, which may be larger than the image
        if reduction == 1:
            _check_bytes(page.shape, page.dtype)
        if not all(page.databytecounts) or _ends_early(page):  # tifffile would fill in zeros or grey
            raise BadImageError("a damaged TIFF: a part of its pixels is missing")
        _check_codes(page)
        if reduction > 1:
            reduced = reduced_page(page, reduction, grey_levels)
            return reduced[..., 0] if reduced.shape[2] == 1 else reduced
        pixels, axes = page.asarray(), page.axes
    else:  # ImageJ describes a large stack by its first page
        _check_bytes(series.shape, series.dtype)
        for page in series.pages:
            _check_codes(page)
        pixels = series.asarray().reshape(num_pages, *keyframe.shape)[number]
        axes = keyframe.axes
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
    return grey_levels(pixels)


def _ends_early(page: Any) -> bool:
    """Whether compressed pixels extend beyond the end of the file. tifffile checks uncompressed ones."""
    ends = map(operator.add, page.dataoffsets, page.databytecounts)
    return page.compression != tifffile.COMPRESSION.NONE and max(ends) > page.parent.filehandle.size


def _check_codes(page: Any) -> None:
    """Checks the strips or tiles of a page compressed by LZW or JPEG for damage that their codecs would not notice."""
    if page.compression not in (tifffile.COMPRESSION.LZW, tifffile.COMPRESSION.JPEG):
        return
    file, is_reversed = page.parent.filehandle, page.keyframe.fillorder == tifffile.FILLORDER.LSB2MSB
    for offset, num_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        data = file.read(num_bytes)
        if page.compression == tifffile.COMPRESSION.LZW:
            check_lzw(imagecodecs.bitorder_decode(data) if is_reversed else data)
        else:
            _check_frame(read_frame(data), page.keyframe)


def _check_frame(frame: Frame, page: Any) -> None:
    """Checks the header of a JPEG strip or tile, as libtiff does."""
    width_px = page.tilewidth if page.is_tiled else page.imagewidth
    height_px = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    is_larger = frame.width_px > width_px or frame.height_px > height_px
    is_subsampled = frame.num_components == 1 and frame.sampling != 0x11
    if frame.num_bits != page.bitspersample or is_larger or is_subsampled:
        raise BadImageError("a damaged TIFF: the header of a JPEG strip or tile does not match its tags")


def _check_bytes(shape: tuple[int, ...], dtype: Any) -> None:
    if math.prod(shape) * dtype.itemsize > _MAX_PAGE_BYTES:
        raise BadImageError(f"{' x '.join(map(str, shape))} values at once: expected at most {_MAX_PAGE_BYTES >> 20} MB")


def _channel_names(file: Any, num_channels: int) -> tuple[str, ...]:
    """The channel names from OME-XML, or ImageJ's slice labels if there is one for each channel."""
    names: list[str] = []
    if (pixels := _ome_pixels(file)) is not None:
        channels = [element for element in pixels if element.tag.endswith("}Channel")]
        names = [element.get("Name") or element.get("Fluor") or "" for element in channels]
    elif file.is_imagej:
        names = [str(label).strip() for label in (file.imagej_metadata or {}).get("Labels", [])]
    return tuple(names) if len(names) == num_channels else ("",) * num_channels


def _pixel_size_um(file: Any) -> float | None:
    """The width of a pixel from OME-XML."""
    pixels = _ome_pixels(file)
    if pixels is None:
        return None
    size = float(pixels.get("PhysicalSizeX", "nan")) * _MICROMETRES.get(pixels.get("PhysicalSizeXUnit", "µm"), math.nan)
    return size if size > 0 and math.isfinite(size) else None


def _ome_pixels(file: Any) -> ElementTree.Element | None:
    """The element of OME-XML that describes the first image."""
    return ElementTree.fromstring(file.ome_metadata).find("{*}Image/{*}Pixels") if file.is_ome else None
