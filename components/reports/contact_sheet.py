"""Contact sheets: many samples on one page."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from components.reports.scale_bar import report_font, with_scale_bar
from components.reports.stains import composite, legend, stain_colours
from components.runtime.wording import shorten

_ID_COLOUR = "#475569"
_GAP_PX = 6
_LINE_PX = 15


class Shown(Protocol):
    """A sample on a contact sheet: a `SyntheticSample`, or a real one."""

    @property
    def sample_id(self) -> str:
        """The id of the sample in the source."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Class indices."""

    @property
    def pngs(self) -> Mapping[str, bytes]:
        """The PNG file of each filter."""


def contact_sheet(
    samples: Sequence[Shown],
    class_names: Sequence[str],
    columns: int = 7,
    tile_px: int = 200,
    filters: Sequence[str] = ("red", "green", "blue"),
    widths_um: Sequence[float | None] = (),
) -> bytes:
    """Draws a PNG page with a tile for each sample, its id and class names below it, and a legend at the end.

    Args:
        samples: At least one.
        class_names: The names of the classes, by index.
        columns: The number of tiles per row.
        tile_px: The side of a tile. Samples are downscaled to it by averaging.
        filters: The stains to show, one to eight, in the colours of `stain_colours`.
        widths_um: The width of each tile in micrometres, for a scale bar; None for a tile without one. Empty: no scale bars.

    Raises:
        ValueError: If there is no sample, no column, a tile without pixels, or no filter.
    """
    if not samples or columns < 1 or tile_px < 1 or not filters:
        raise ValueError(
            "A contact sheet needs at least one sample, column, pixel and filter. "
            f"Received: {len(samples)} samples, columns={columns}, tile_px={tile_px}, filters={tuple(filters)}"
        )
    columns = min(columns, len(samples))
    captions = [
        [shorten(sample.sample_id, _room(tile_px)), *_lines([class_names[label] for label in sample.labels], tile_px)]
        for sample in samples
    ]
    width = columns * (tile_px + _GAP_PX) + _GAP_PX
    footer = textwrap.wrap(f"{legend(filters)} As bright as a model sees them.", _room(width))
    height = tile_px + _LINE_PX * max(len(lines) for lines in captions) + _GAP_PX
    rows = -(-len(samples) // columns)
    page = Image.new("RGB", (width, rows * height + len(footer) * _LINE_PX + 2 * _GAP_PX), "white")
    pen = ImageDraw.Draw(page)
    font = report_font()
    sizes = widths_um or [None] * len(samples)
    for number, (sample, lines, width_um) in enumerate(zip(samples, captions, sizes, strict=True)):
        left = _GAP_PX + number % columns * (tile_px + _GAP_PX)
        top = _GAP_PX + number // columns * height
        page.paste(Image.fromarray(with_scale_bar(_tile(sample, tile_px, filters), width_um)), (left, top))
        for row, line in enumerate(lines):
            pen.text((left, top + tile_px + row * _LINE_PX), line, fill="black" if row else _ID_COLOUR, font=font)
    for row, line in enumerate(footer):
        pen.text((_GAP_PX, rows * height + _GAP_PX + row * _LINE_PX), line, fill="black", font=font)
    file = io.BytesIO()
    page.save(file, "PNG", optimize=True)
    return file.getvalue()


def _tile(sample: Shown, side_px: int, filters: Sequence[str]) -> np.ndarray:
    bands = []
    for name in filters:
        with Image.open(io.BytesIO(sample.pngs[name])) as image:
            bands.append(np.asarray(image.convert("L").resize((side_px, side_px), Image.Resampling.BOX)))
    return composite(np.dstack(bands), stain_colours(filters))


def _room(width_px: int) -> int:
    return max(8, width_px // 7)


def _lines(names: Sequence[str], width_px: int) -> list[str]:
    """Wraps names into as few lines as possible, in order."""
    room = _room(width_px)
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) + 2 <= room:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines or [""]
