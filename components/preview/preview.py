"""A contact sheet of a source, and what a run would leave out of it, by the code by which ingest and convert leave it out."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from components.artifacts.image_names import ALL_CHANNELS
from components.artifacts.labels import FILTERS
from components.images.decode import Reading
from components.images.exposure import exposure_warnings
from components.images.image import BadImageError
from components.ingest.sources.source import Listed, Source, SourceImage, images_by_sample, read_sample
from components.ingest.sources.synthetic import Synthetic
from components.preview.sample import Tile, draw_tile, lacks
from components.reports.contact_sheet import contact_sheet
from components.synthetic.samples import class_examples

MAX_TILES = 28
# Where so many cannot be drawn, more would not tell more.
_MAX_LOOKED = 4 * MAX_TILES
_MAX_REASONS = 10


@dataclass(frozen=True)
class Preview:
    """What a look at a source found.

    Attributes:
        page: The contact sheet, a PNG file, of samples that a run would take.
        findings: Lines on what a run would leave out: of all samples, as far as their rows and the names of their files tell;
            of those whose images were read, also as far as these do. Then on those that look badly exposed or scaled.
    """

    page: bytes
    findings: list[str]


def preview(
    source: Source,
    class_names: Sequence[str],
    by_class: bool,
    stains: Sequence[str] = FILTERS[:3],
    intensity_range: str = "",
    projection: str = "",
) -> Preview:
    """Draws a contact sheet of a source, and looks for what is wrong.

    Args:
        source: Where the samples come from.
        class_names: The names of the classes, by index.
        by_class: One sample for each class, the one with the fewest others, instead of the first ones. Synthetic sources
            draw each class alone.
        stains: Those that become channels, in order.
        intensity_range: The grey levels that become 0 and 255; empty for the whole range of 8 bits.
        projection: How a stack becomes one plane.

    Raises:
        ValueError: If not one sample can be drawn, with the reasons.
    """
    if by_class and isinstance(source, Synthetic):
        return Preview(_small(contact_sheet(class_examples(source.series), class_names, filters=stains)), [])
    images = images_by_sample(source)
    reading = Reading(tuple(source.channels.items()), intensity_range, projection)
    reasons = {row.sample_id: row.reason or _lacks(source, images[row.sample_id], stains) for row in source.listed()}
    usable = [row for row in source.listed() if not reasons[row.sample_id]]
    tiles: list[Tile] = []
    num_looked = 0
    for row in (_one_for_each_class(usable) if by_class else usable)[:_MAX_LOOKED]:
        num_looked += 1
        try:
            files = read_sample(source, images[row.sample_id])
            tiles.append(draw_tile(row.sample_id, row.labels, files, stains, source.stains, reading))
        except BadImageError as error:
            blamed = (ALL_CHANNELS, error.filter_name)
            paths = [source.path(image) for image in images[row.sample_id] if error.filter_name and image.filter in blamed]
            reasons[row.sample_id] = ": ".join([*paths, str(error)])
        if len(tiles) == MAX_TILES:
            break
    bad = {sample_id: reason for sample_id, reason in reasons.items() if reason}
    findings = _findings(bad, len(reasons), source.num_without_files, num_looked)
    if not tiles:
        raise ValueError("\n".join([f"No sample can be shown: {', '.join(stains)} needed of each.", *findings]))
    findings += map(str, exposure_warnings({tile.sample_id: tile.histograms for tile in tiles}, stains))
    size_px = min(tile.max_size_px for tile in tiles)
    findings.append(f"The images that are shown allow image_size_px={size_px} at most.")
    page = contact_sheet(tiles, class_names, filters=stains, widths_um=[tile.width_um for tile in tiles])
    return Preview(_small(page), findings)


def _lacks(source: Source, images: Sequence[SourceImage], stains: Sequence[str]) -> str:
    """What convert says of a sample without some image."""
    if images and source.channels:
        return ""
    return lacks([image.filter for image in images], stains)


def _findings(bad: Mapping[str, str], num_samples: int, num_without_files: int, num_looked: int) -> list[str]:
    looked = f"all rows, and the images of {num_looked} samples, were looked at"
    lines = [f"A run would leave out {len(bad)} of {num_samples} samples ({looked})" + (":" if bad else ".")]
    lines += [f"  {sample_id}: {reason}" for sample_id, reason in list(bad.items())[:_MAX_REASONS]]
    if len(bad) > _MAX_REASONS:
        lines.append(f"  and {len(bad) - _MAX_REASONS} more")
    if bad:
        lines.append("A run stops where more of all samples are left out than max_bad_fraction allows.")
    if num_without_files:
        lines.append(f"Rows without any image, which are left out, too: {num_without_files}.")
    return lines


def _one_for_each_class(listed: Sequence[Listed]) -> list[Listed]:
    labels = sorted({label for sample in listed for label in sample.labels})
    return [min((s for s in listed if label in s.labels), key=lambda s: len(s.labels)) for label in labels]


def _small(page: bytes) -> bytes:
    """Half the size, for a page that stands in a README: 256 colours do for four stains."""
    with Image.open(io.BytesIO(page)) as image:
        file = io.BytesIO()
        image.quantize(256).save(file, "PNG", optimize=True)
    return file.getvalue()
