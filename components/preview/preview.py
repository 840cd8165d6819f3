"""A contact sheet of a source, and the samples that a run would leave out, by the same code as in ingest and convert."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from components.artifacts.image_names import ALL_CHANNELS
from components.artifacts.labels import FILTERS
from components.artifacts.parameters import AUTO_RANGE, Levels
from components.convert.settings import commonest_reasons
from components.images.auto_range import common_range
from components.images.decode import Reading, measure_sample, missing_filter
from components.images.exposure import exposure_warnings
from components.images.image import BadImageError
from components.ingest.sources.source import Listed, Source, SourceImage, images_by_sample, read_sample
from components.ingest.sources.synthetic import Synthetic
from components.preview.sample import Tile, draw_tile
from components.reports.contact_sheet import contact_sheet
from components.runtime.wording import count_of
from components.synthetic.samples import class_examples

MAX_TILES = 28
# How many samples to try to draw at most.
_MAX_LOOKED = 4 * MAX_TILES
_MAX_REASONS = 10


@dataclass(frozen=True)
class Preview:
    """The preview of a source.

    Attributes:
        page: The contact sheet, a PNG file, of samples that a run would use.
        findings: Lines on the samples that a run would leave out, by the rows and file names of all samples and by the images
            that were read; then on images that look badly exposed or scaled.
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
    """Draws a contact sheet of a source, and looks for problems.

    Args:
        source: The source of the samples.
        class_names: The names of the classes, by index.
        by_class: Whether to show one sample for each class, the one with the fewest other labels, instead of the first samples.
            Synthetic sources show each class alone.
        stains: The stains that become channels, in order.
        intensity_range: The grey levels that become 0 and 255; empty for the whole range of 8 bits; `auto` for the range that a
            run would choose if it were trained on the shown samples.
        projection: How a stack becomes one plane.

    Raises:
        ValueError: If no sample can be drawn, with the reasons.
    """
    if by_class and isinstance(source, Synthetic):
        return Preview(_small(contact_sheet(class_examples(source.series), class_names, filters=stains)), [])
    images = images_by_sample(source)
    reasons = {row.sample_id: row.reason or _lacks(source, images[row.sample_id], stains) for row in source.listed()}
    usable = [row for row in source.listed() if not reasons[row.sample_id]]
    rows = (_one_for_each_class(usable) if by_class else usable)[:_MAX_LOOKED]
    reading = Reading(tuple(source.channels.items()), intensity_range, projection, tuple(stains))
    if intensity_range == AUTO_RANGE:
        reading = replace(reading, intensity_range=_measured_range(source, images, rows, reading))
    tiles: list[Tile] = []
    num_looked = 0
    for row in rows:
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
        raise ValueError("\n".join([f"No sample can be shown: each needs {', '.join(stains)}.", *findings]))
    findings += map(str, exposure_warnings({tile.sample_id: tile.histograms for tile in tiles}, stains))
    if intensity_range == AUTO_RANGE:
        findings.append(
            f"intensity_range=auto gives {reading.intensity_range} for {', '.join(stains)} of the images shown; a run "
            "measures all images that it is trained on."
        )
    size_px = min(tile.max_size_px for tile in tiles)
    findings.append(f"The images shown allow image_size_px={size_px} at most.")
    page = contact_sheet(tiles, class_names, filters=stains, widths_um=[tile.width_um for tile in tiles])
    return Preview(_small(page), findings)


def _measured_range(
    source: Source, images: Mapping[str, Sequence[SourceImage]], rows: Sequence[Listed], reading: Reading
) -> str:
    """The range of `intensity_range=auto` for the samples that are shown; empty if none can be used."""
    spans: list[list[Levels]] = []
    for row in rows:
        with contextlib.suppress(BadImageError):  # the reason is given when the sample is drawn
            spans.append(measure_sample(read_sample(source, images[row.sample_id]), reading.stains, reading)[1])
        if len(spans) == MAX_TILES:
            break
    return common_range(spans) if spans else ""


def _lacks(source: Source, images: Sequence[SourceImage], stains: Sequence[str]) -> str:
    """Convert's reason for a sample with missing images; empty if none is missing."""
    if images and source.channels:
        return ""
    present = {image.filter for image in images}
    return next((missing_filter(name) for name in stains if name not in present), "")


def _findings(bad: Mapping[str, str], num_samples: int, num_without_files: int, num_looked: int) -> list[str]:
    looked = f"all rows, and the images of {count_of(num_looked, 'sample')}, were checked"
    lines = [f"A run would leave out {len(bad)} of {count_of(num_samples, 'sample')} ({looked})" + (":" if bad else ".")]
    if len(bad) > _MAX_REASONS:
        lines += [f"  {reason}" for reason in commonest_reasons(bad, _MAX_REASONS)]
    else:
        lines += [f"  {sample_id}: {reason}" for sample_id, reason in bad.items()]
    if bad:
        lines.append("A run stops if it leaves out a larger fraction of the samples than max_bad_fraction.")
    if num_without_files:
        lines.append(f"Rows without any image, which are also left out: {num_without_files}.")
    return lines


def _one_for_each_class(listed: Sequence[Listed]) -> list[Listed]:
    labels = sorted({label for sample in listed for label in sample.labels})
    return [min((s for s in listed if label in s.labels), key=lambda s: len(s.labels)) for label in labels]


def _small(page: bytes) -> bytes:
    """Halves the file size, for a page in a README: 256 colours suffice for four stains."""
    with Image.open(io.BytesIO(page)) as image:
        file = io.BytesIO()
        image.quantize(256).save(file, "PNG", optimize=True)
    return file.getvalue()
