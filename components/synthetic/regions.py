"""Maps pixels to cells and their parts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.synthetic.camera import SIDE_PX
from components.synthetic.cells import Cells
from components.synthetic.polar import COSINE_ONE, EIGHTHS, REACH_PX, TURN, cosine, directions, distances, sine

Light = NDArray[np.uint8]


@dataclass(frozen=True)
class Regions:
    """Maps of the image's size, with values from 0 to 255.

    Attributes:
        owner: Row of the cell that a pixel belongs to, plus one; 0 outside of cells.
        inside: Depth below the cell's membrane in quarters of a pixel; 0 outside of cells.
        nuclear: Depth below the nuclear envelope in quarters of a pixel; 0 outside of nuclei.
        around: Distance to the nuclear envelope of the same cell in halves of a pixel; 0 within nuclei.
        seam: Depth below a neighbouring cell's outline in eighths of a pixel: above 0 only where two cells touch.
    """

    owner: Light
    inside: Light
    nuclear: Light
    around: Light
    seam: Light


def chart(cells: Cells) -> Regions:
    """Maps the cells of a field.

    Where outlines overlap, a pixel belongs to the cell in which it is deeper, as touching cells share the space between them.
    """
    shape = (SIDE_PX, SIDE_PX)
    owner = np.zeros(shape, np.uint8)
    best, second = np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    core = np.full(shape, -2047, np.int16)
    outlines, nuclei = cells.outline.astype(np.int16), cells.nucleus.astype(np.int16)
    turns = np.arange(TURN)
    scale = COSINE_ONE * EIGHTHS
    across, down = cells.outline * cosine(turns) // scale, cells.outline * sine(turns) // scale
    boxes = np.clip(
        np.stack(
            [cells.x + across.min(1), cells.x + across.max(1) + 2, cells.y + down.min(1), cells.y + down.max(1) + 2], axis=1
        ),
        0,
        SIDE_PX,
    )
    for row, (left, right, top, bottom) in enumerate(boxes[:255].tolist()):
        x, y = int(cells.x[row]), int(cells.y[row])
        if left >= right or top >= bottom:
            continue
        here = (slice(top, bottom), slice(left, right))
        there = (slice(top - y + REACH_PX, bottom - y + REACH_PX), slice(left - x + REACH_PX, right - x + REACH_PX))
        towards, away = directions()[there], distances()[there]
        core_depth = nuclei[row].take(towards) - away
        # Nuclei outweigh a neighbour's cytoplasm, which would otherwise cut pieces off them.
        depth = outlines[row].take(towards) - away + np.maximum(core_depth, 0) * np.int16(16)
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
