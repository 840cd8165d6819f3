"""Reads an image file of any format."""

import importlib
from typing import Any

import numpy as np

from components.images.formats import JPEG, PNG, TIFF, VendorFormat, format_of, vendor_format, why_unreadable
from components.images.image import BadImageError, Image, check_sides
from components.images.jpeg import read_jpeg
from components.images.png import read_png
from components.images.tiff import MAX_TIFF_SIDE_PX, read_tiff
from components.runtime.scratch import scratch_folder

_READERS = {PNG: read_png, JPEG: read_jpeg}


def read_image(data: bytes, is_reduced: bool = True) -> Image:
    """Reads an image file by its content; its name does not matter.

    Args:
        data: The file.
        is_reduced: Whether planes of large TIFF files are downsampled by averaging: see `large_tiff`.

    Raises:
        BadImageError: If its format is not supported, it is too large for its format, or it is damaged.
    """
    if reason := why_unreadable(data):
        raise BadImageError(reason)
    vendor = vendor_format(data)
    if vendor:
        return _read_vendor_format(data, vendor)
    kind = format_of(data)
    return read_tiff(data, is_reduced) if kind == TIFF else _READERS[kind](data)


def _read_vendor_format(data: bytes, vendor: VendorFormat) -> Image:
    """Reads a file with bioio, which the user has installed with the format's reader. Readers need a file on disk."""
    reader = importlib.import_module(vendor.module).Reader
    try:
        with scratch_folder() as folder:
            path = folder / f"image{vendor.suffix}"
            path.write_bytes(data)
            image = reader(path)
            if len(image.scenes) > 1:
                raise BadImageError(f"{vendor.a_file} of {len(image.scenes)} images: save each as a file of its own")
            sizes = dict(zip(image.dims.order, image.dims.shape, strict=True))
            check_sides(sizes["X"], sizes["Y"], MAX_TIFF_SIDE_PX)
            pixels = np.asarray(image.get_image_data("CTZYX"))
            names = tuple(map(str, image.channel_names or [""] * len(pixels)))
            size_um = _pixel_size_um(image, vendor)
    except BadImageError:
        raise
    except Exception as error:  # each reader has its own errors
        raise BadImageError(f"{vendor.a_file} that {vendor.package} cannot read: {type(error).__name__}") from error
    planes = pixels.reshape(len(pixels), -1, *pixels.shape[-2:])
    return Image(
        f"{8 * pixels.dtype.itemsize}-bit {vendor.name}",
        names,
        planes.shape[1],
        lambda channel, number: planes[channel, number],
        size_um,
    )


def _pixel_size_um(image: Any, vendor: VendorFormat) -> float | None:
    """The width of a pixel; None without a size or, in OME-Zarr, whose sizes may have any unit, without a unit of length."""
    sizes = image.physical_pixel_sizes
    size = sizes.X if sizes else None
    if not size or vendor.name != "OME-Zarr":
        return size
    unit = image.dimension_properties.X.unit
    return (size * unit).to("micrometer").magnitude if unit and unit.is_compatible_with("micrometer") else None
