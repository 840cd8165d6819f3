"""A sample as a run would see it: its tile of a contact sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from components import storage
from components.artifacts.index import ImageFile
from components.artifacts.parameters import MIN_IMAGE_SIZE_PX
from components.images.decode import Reading, decode_sample, stack_filters
from components.images.formats import why_unreadable
from components.images.image import BadImageError
from components.images.intensity import channel_histograms
from components.images.plausibility import check_distinct_files

_TILE_PX = 200


@dataclass(frozen=True)
class Tile:
    """A sample that a run would use.

    Attributes:
        sample_id: The source's name of the sample.
        labels: Class indices.
        pngs: The PNG file of each filter at the size of a tile, decoded, cut and resized as in convert.
        max_size_px: The largest image_size_px that its images allow.
        width_um: The width of the tile's field in micrometres, if the files give the size of a pixel.
        histograms: The histogram of each filter's grey levels: shape (filters, 256).
    """

    sample_id: str
    labels: tuple[int, ...]
    pngs: Mapping[str, bytes]
    max_size_px: int
    width_um: float | None
    histograms: np.ndarray


def draw_tile(
    sample_id: str,
    labels: tuple[int, ...],
    files: Mapping[str, bytes],
    stains: Sequence[str],
    of_source: Sequence[str],
    reading: Reading,
) -> Tile:
    """Draws a sample, unless a run would leave it out.

    Args:
        sample_id: The source's name of the sample.
        labels: Class indices.
        files: The image of each filter, including those that do not become channels, which ingest and convert also check.
        stains: The stains that become channels, in order.
        of_source: All stains that the source may have, in order.
        reading: How files become 8-bit channels.

    Raises:
        BadImageError: If a run would leave it out, for the reason that the run would give.
    """
    files = {name: files[name] for name in of_source if name in files}
    for name, data in files.items():
        if problem := why_unreadable(data):
            raise BadImageError(f"the {name} filter is {problem}", name)
    decoded = decode_sample(files, stains, reading)
    if not reading.channels:
        check_distinct_files({name: ImageFile(name, len(data), storage.crc32c(data)) for name, data in files.items()})
    side_px = min(decoded.planes[0].shape)
    pixels = stack_filters(decoded.planes, max(MIN_IMAGE_SIZE_PX, min(_TILE_PX, side_px)))
    pngs = {name: cv2.imencode(".png", band)[1].tobytes() for name, band in zip(stains, cv2.split(pixels), strict=True)}
    return Tile(sample_id, labels, pngs, side_px, decoded.width_um, channel_histograms(pixels))
