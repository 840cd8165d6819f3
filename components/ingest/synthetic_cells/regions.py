"""Which pixel belongs to which part of which cell."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.ingest.synthetic_cells.camera import SIDE_PX
from components.ingest.synthetic_cells.cells import Cells
from components.ingest.synthetic_cells.polar import EIGHTHS, REACH_PX, directions, distances

Light = NDArray[np.uint8]


@dataclass(frozen=True)
class Regions:
    """Maps of the size of the picture, values 0 to 255.

    Attributes:
        owner: Row of the cell that a pixel belongs to, plus one; 0 where there is none.
        inside: Depth below the cell's membrane in quarters of a pixel; 0 outside of cells.
        nuclear: Depth below the nuclear envelope in quarters of a pixel; 0 outside of nuclei.
        around: Distance to the nuclear envelope of the same cell in halves of a pixel; 0 within nuclei.
        seam: Depth, in eighths of a pixel, of the neighbour's outline below the same pixel: above 0 only where two cells touch.
    """

    owner: Light
    inside: Light
    nuclear: Light
    around: Light
    seam: Light


def chart(cells: Cells) -> Regions:
    """Maps the cells of a field.

    Where outlines overlap, a pixel goes to the cell in which it lies deeper, as touching cells share the ground between them.
    """
    shape = (SIDE_PX, SIDE_PX)
    owner = np.zeros(shape, np.uint8)
    best, second = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    core = np.full(shape, -2047, np.int16)
    outlines, nuclei = cells.outline.astype(np.int16), cells.nucleus.astype(np.int16)
    reach = np.max(cells.outline, axis=1) // EIGHTHS + 1
    for row in range(min(len(cells), 255)):
        x, y, size = int(cells.x[row]), int(cells.y[row]), int(reach[row])
        left, right = max(0, x - size), min(SIDE_PX, x + size + 1)
        top, bottom = max(0, y - size), min(SIDE_PX, y + size + 1)
        if left >= right or top >= bottom:
            continue
        here = (slice(top, bottom), slice(left, right))
        there = (slice(top - y + REACH_PX, bottom - y + REACH_PX), slice(left - x + REACH_PX, right - x + REACH_PX))
        turns, away = directions()[there], distances()[there]
        core_depth = nuclei[row][turns] - away
        # A nucleus counts for more than a neighbour's cytoplasm, or a neighbour would bite pieces off it.
        depth = outlines[row][turns] - away + np.maximum(core_depth, 0) * np.int16(16)
        before = best[here]
        nearer = depth > before
        second[here] = np.maximum(second[here], np.minimum(before, depth))
        np.copyto(core[here], core_depth, where=nearer)
        np.copyto(owner[here], np.uint8(row + 1), where=nearer)
        best[here] = np.maximum(before, depth)
    return Regions(
        owner=owner,
        inside=_byte((best - second + 1) >> 1),
        nuclear=_byte((core + 1) >> 1),
        around=_byte(-core >> 2),
        seam=_byte(second),
    )


def _byte(values: NDArray[np.int16]) -> Light:
    return np.clip(values, 0, 255).astype(np.uint8)
