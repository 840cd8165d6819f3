"""Contact sheets: many samples on one page, as people look at them."""

import io
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from components.reports.stains import composite, stain_colours

_GAP_PX = 6
_LINE_PX = 15
_FONT_PX = 12


class Shown(Protocol):
    """What a contact sheet needs of a sample: a `SyntheticSample`, or a real one."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Class indices."""

    @property
    def pngs(self) -> Mapping[str, bytes]:
        """PNG file of each filter."""


def contact_sheet(
    samples: Sequence[Shown],
    class_names: Sequence[str],
    columns: int = 7,
    tile_px: int = 200,
    filters: Sequence[str] = ("red", "green", "blue"),
) -> bytes:
    """A PNG page with one tile for each sample and the names of its classes below.

    Args:
        samples: At least one.
        class_names: The names of the classes, by index.
        columns: Tiles side by side.
        tile_px: Side of a tile; samples are shrunk to it by averaging.
        filters: The stains to show, one to eight, in the colours of `stain_colours`.

    Raises:
        ValueError: If there is no sample, no column, a tile without pixels, or no filter.
    """
    if not samples or columns < 1 or tile_px < 1 or not filters:
        raise ValueError(
            "A contact sheet: expected at least one sample, column and pixel and filter. "
            f"Received: {len(samples)} samples, columns={columns}, tile_px={tile_px}, filters={tuple(filters)}"
        )
    columns = min(columns, len(samples))
    captions = [_caption([class_names[label] for label in sample.labels], tile_px) for sample in samples]
    height = tile_px + _LINE_PX * max(len(lines) for lines in captions) + _GAP_PX
    rows = -(-len(samples) // columns)
    page = Image.new("RGB", (columns * (tile_px + _GAP_PX) + _GAP_PX, rows * height + _GAP_PX), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(_FONT_PX)
    for number, (sample, lines) in enumerate(zip(samples, captions, strict=True)):
        left = _GAP_PX + number % columns * (tile_px + _GAP_PX)
        top = _GAP_PX + number // columns * height
        page.paste(_tile(sample, tile_px, filters), (left, top))
        for row, line in enumerate(lines):
            pen.text((left, top + tile_px + row * _LINE_PX), line, fill="black", font=font)
    file = io.BytesIO()
    page.save(file, "PNG", optimize=True)
    return file.getvalue()


def _tile(sample: Shown, side_px: int, filters: Sequence[str]) -> Image.Image:
    bands = []
    for name in filters:
        with Image.open(io.BytesIO(sample.pngs[name])) as image:
            bands.append(np.asarray(image.convert("L").resize((side_px, side_px), Image.Resampling.BOX)))
    return Image.fromarray(composite(np.dstack(bands), stain_colours(filters)))


def _caption(names: Sequence[str], width_px: int) -> list[str]:
    """Class names in as few lines as hold them, in order."""
    room = max(8, width_px // 7)
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) + 2 <= room:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines or [""]
