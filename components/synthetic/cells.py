"""The positions and outlines of the cells in a field: the scene that all four filters show."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.synthetic.camera import SIDE_PX
from components.synthetic.draws import Draws
from components.synthetic.polar import COSINE_ONE, EIGHTHS, REACH_PX, TURN, Ints, cosine, sine

# Cells are also placed this far outside the image, so that its border cuts through cells, even in near-duplicates, which are
# shifted by up to MAX_SHIFT_PX.
MARGIN_PX = 120
MAX_SHIFT_PX = 32
NUM_DARTS = 420

INTERPHASE, METAPHASE, ANAPHASE = 0, 1, 2


class CellLine(NamedTuple):
    """The appearance of a cell line. Lengths are in pixels, the others in percent."""

    cell_radius: int
    nucleus_radius: int
    spacing: int
    elongation: int  # length over width
    raggedness: int  # how far the outline departs from the ellipse
    tips: int  # how far two to four tips stand out
    empty: int  # share of fields with large gaps between islands of cells
    aligned: int  # share of fields in which all cells point the same way


# Modelled on the cell lines of the Human Protein Atlas: flat epithelial sheets, islands, spindles, long fibroblasts, and small
# round cells that grow in suspension. The common ones come first; they are chosen about twice as often.
CELL_LINES: tuple[CellLine, ...] = (
    CellLine(66, 31, 96, 120, 9, 6, 45, 10),  # like A-431
    CellLine(72, 30, 112, 150, 14, 28, 30, 20),  # like U-2 OS
    CellLine(60, 27, 98, 190, 15, 40, 40, 40),  # like U-251 MG
    CellLine(52, 26, 86, 140, 12, 22, 50, 10),  # like HeLa
    CellLine(54, 29, 72, 125, 9, 12, 80, 10),  # like MCF7
    CellLine(60, 28, 92, 130, 18, 34, 60, 10),  # like PC-3
    CellLine(44, 23, 60, 140, 13, 26, 80, 10),  # like HEK 293
    CellLine(66, 28, 104, 270, 10, 30, 20, 85),  # like BJ, fibroblasts
    CellLine(50, 25, 84, 230, 14, 40, 50, 50),  # like SK-MEL-30
    CellLine(33, 24, 64, 108, 6, 0, 70, 0),  # like REH, in suspension
)
NUM_COMMON_LINES = 6


@dataclass(frozen=True)
class Cells:
    """The cells of one field. Arrays have one row for each cell.

    Attributes:
        x, y: The centre of the nucleus, in pixels of the image; may lie outside it.
        outline: Radius of the cell in each of 1024 directions, in eighths of a pixel.
        nucleus: Radius of the nucleus, likewise.
        phase: INTERPHASE, METAPHASE or ANAPHASE.
        axis: Direction of the long axis; of a mitotic cell, of its spindle.
        pole: Direction in which the centrosome and the Golgi lie.
        bridges: Pairs of rows: daughter cells still joined by a bridge.
        origin: The shift of the image over the scene, which textures follow.
    """

    x: Ints
    y: Ints
    outline: Ints
    nucleus: Ints
    phase: Ints
    axis: Ints
    pole: Ints
    bridges: tuple[tuple[int, int], ...]
    origin: tuple[int, int]

    def __len__(self) -> int:
        """The number of cells, including those outside the image."""
        return len(self.x)

    def rows(self, *phases: int) -> Ints:
        """The row numbers of the cells in these phases."""
        return np.flatnonzero(np.isin(self.phase, phases))

    def at(self, rows: Ints, turns: Ints, eighths: Ints) -> tuple[Ints, Ints]:
        """The pixel in a direction and at a distance from the centre of each given cell."""
        scale = COSINE_ONE * EIGHTHS
        half = scale // 2
        return (
            self.x[rows] + ((eighths * cosine(turns) + half) // scale),
            self.y[rows] + ((eighths * sine(turns) + half) // scale),
        )

    def between(self, rows: Ints, turns: Ints, permille: Ints) -> tuple[Ints, Ints]:
        """A pixel between the nuclear envelope (0) and the cell membrane (1000)."""
        turns = turns & (TURN - 1)
        inner, outer = self.nucleus[rows, turns], self.outline[rows, turns]
        return self.at(rows, turns, inner + (outer - inner) * permille // 1000)

    def within_nucleus(self, rows: Ints, turns: Ints, permille: Ints) -> tuple[Ints, Ints]:
        """A pixel between the centre of the nucleus (0) and its envelope (1000)."""
        turns = turns & (TURN - 1)
        return self.at(rows, turns, self.nucleus[rows, turns] * permille // 1000)


def grow(draws: Draws, shift: tuple[int, int], num_mitotic: int, num_bridges: int, confluent: bool) -> Cells:
    """Generates a field of cells.

    Args:
        draws: The random draws, the same for all near-duplicates.
        shift: The shift of the image over the field, in pixels.
        num_mitotic: The number of mitotic cells that must be visible.
        num_bridges: The number of bridges between daughter cells that must be visible.
        confluent: Whether cells must touch each other.
    """
    common = draws.chance(75)
    line = CELL_LINES[draws.between(0, NUM_COMMON_LINES - 1) if common else draws.between(0, len(CELL_LINES) - 1)]
    zoom = draws.between(88, 116)
    spacing = line.spacing * zoom // 100
    if confluent:
        spacing = min(spacing, line.cell_radius * 145 * zoom // 10000)
    # Without gaps if anything must be visible, as it might fall into one.
    islands = draws.chance(line.empty) and not (confluent or num_mitotic or num_bridges)
    middles, pairs = _place(draws, spacing, line.cell_radius * zoom // 100, islands, num_bridges)
    count = len(middles)
    x, y = np.array(middles, np.int64).T
    common_axis = draws.between(0, TURN - 1)
    spread = TURN // 20 if draws.chance(line.aligned) else TURN // 2
    axis = common_axis + draws.many(-spread, spread, count)
    phase = np.zeros(count, np.int64)
    paired = {row for pair in pairs for row in pair}
    in_sight = [row for row in range(count) if _in_sight(int(x[row]), int(y[row])) and row not in paired]
    if not num_mitotic and draws.chance(6):
        num_mitotic = 1
    phase[in_sight[:num_mitotic]] = draws.many(METAPHASE, ANAPHASE, len(in_sight[:num_mitotic]))
    outline, nucleus = _outlines(draws, line, zoom, axis, phase)
    pole = axis + draws.many(-TURN // 8, TURN // 8, count) + TURN // 2 * draws.many(0, 1, count)
    for one, other in pairs:
        _join(one, other, x, y, outline, nucleus)
    return Cells(x + shift[0], y + shift[1], outline, nucleus, phase, axis, pole & (TURN - 1), tuple(pairs), shift)


def _in_sight(x: int, y: int) -> bool:
    edge = 44 + MAX_SHIFT_PX
    return edge <= x < SIDE_PX - edge and edge <= y < SIDE_PX - edge


def _place(
    draws: Draws, spacing: int, radius: int, islands: bool, num_bridges: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Places cells by dart throwing with a minimum distance. Joined daughter cells come first, so that they fit."""
    middles: list[tuple[int, int]] = []
    pairs: list[tuple[int, int]] = []
    gaps: list[tuple[int, int, int]] = []
    if islands:
        for _ in range(draws.between(2, 4)):
            gaps.append((draws.between(-60, SIDE_PX + 60), draws.between(-60, SIDE_PX + 60), draws.between(90, 170)))
    for _ in range(40):
        if len(pairs) == num_bridges:
            break
        turn = np.array(draws.between(0, TURN - 1))
        half = min(radius, 58) * 82 // 100 + draws.between(6, 12)
        across, down = half * int(cosine(turn)) // COSINE_ONE, half * int(sine(turn)) // COSINE_ONE
        x, y = draws.between(120, SIDE_PX - 121), draws.between(120, SIDE_PX - 121)
        ends = [(x - across, y - down), (x + across, y + down)]
        if not middles or not _closer(np.array(ends), np.array(middles), spacing * 4 // 3).any():
            pairs.append((len(middles), len(middles) + 1))
            middles += ends
    low, high = -MARGIN_PX, SIDE_PX + MARGIN_PX
    darts = np.concatenate([np.array(middles, np.int64).reshape(-1, 2), draws.many(low, high, NUM_DARTS, 2)])
    near = _closer(darts, darts, spacing)
    shut = np.zeros(len(darts), bool)
    for x, y, size in gaps:
        shut |= _closer(darts, np.array([[x, y]]), size)[:, 0]
    shut[: len(middles)] = False
    kept: list[int] = []
    for number in range(len(darts)):
        if not shut[number]:
            kept.append(number)
            # Joined daughter cells are closer than the minimum distance, so they never exclude each other.
            shut[max(number, len(middles)) :] |= near[number, max(number, len(middles)) :]
    if not kept:
        return [(SIDE_PX // 2, SIDE_PX // 2)], []
    return [(int(x), int(y)) for x, y in darts[kept]], pairs


def _closer(some: Ints, others: Ints, distance: int) -> NDArray[np.bool_]:
    """Whether each of some points is closer than a distance to each of the others."""
    across, down = (some[:, None, way].astype(np.int32) - others[None, :, way].astype(np.int32) for way in (0, 1))
    across *= across
    down *= down
    across += down
    return across < distance * distance


def _outlines(draws: Draws, line: CellLine, zoom: int, axis: Ints, phase: Ints) -> tuple[Ints, Ints]:
    count = len(axis)
    size = draws.many(82, 118, count) * zoom
    mitotic = phase != INTERPHASE
    radius = line.cell_radius * size * EIGHTHS // 10000
    ratio = np.maximum(100, line.elongation * draws.many(75, 125, count) // 100)
    ragged = np.full(count, line.raggedness)
    # A cell in mitosis detaches and rounds up.
    radius = np.where(mitotic, np.clip(radius * 80 // 100, 34 * EIGHTHS, 50 * EIGHTHS), radius)
    ratio, ragged = np.where(mitotic, 108, ratio), np.where(mitotic, 2, ragged)
    outline = _blob(draws, radius, ratio, axis, ragged, (1, 2, 3, 4, 5, 7, 11, 16))
    outline += outline * np.where(mitotic[:, None], 0, _tips(draws, axis, line.tips)) // 1000
    core = line.nucleus_radius * draws.many(86, 114, count) * zoom * EIGHTHS // 10000
    core_ratio = 100 + (np.minimum(ratio, 190) - 100) * 45 // 100 + draws.many(0, 22, count)
    nucleus = _blob(draws, core, core_ratio, axis + draws.many(-60, 60, count), np.full(count, 4), (2, 3, 4, 5, 7))
    nucleus = np.where(mitotic[:, None], 0, nucleus)
    outline = np.clip(np.maximum(outline, nucleus + 5 * EIGHTHS), 0, (REACH_PX - 2) * EIGHTHS)
    return outline, nucleus


def _blob(draws: Draws, radius: Ints, ratio: Ints, axis: Ints, ragged: Ints, waves: tuple[int, ...]) -> Ints:
    """The radii of an ellipse of the given mean radius and length over width (percent), deformed by a few waves."""
    turns = np.arange(TURN)[None, :]
    count = len(radius)
    along = cosine(turns - axis[:, None]) / COSINE_ONE
    across = sine(turns - axis[:, None]) / COSINE_ONE
    stretch = np.sqrt(ratio / 100.0)[:, None]
    ellipse = radius[:, None] / np.sqrt(along * along / (stretch * stretch) + across * across * (stretch * stretch))
    height = draws.many(-100, 100, count, len(waves))
    start = draws.many(0, TURN - 1, count, len(waves))
    bend = np.zeros((count, TURN), np.int64)
    for number, wave in enumerate(waves):
        # Waves of high frequency are small: outlines are smooth from afar and frayed up close.
        bend += (height[:, number] * ragged * 2 // (1 + wave // 2))[:, None] * cosine(wave * turns + start[:, number, None])
    bent: NDArray[np.float64] = ellipse * (1.0 + bend / (10000.0 * COSINE_ONE))
    return np.rint(np.maximum(bent, 4.0 * EIGHTHS)).astype(np.int64)


def _tips(draws: Draws, axis: Ints, percent: int) -> Ints:
    """How much further the outline reaches at its tips, in permille."""
    turns = np.arange(TURN)[None, :]
    count = len(axis)
    number = draws.many(2, 4, count)[:, None]
    start = np.where(number == 2, axis[:, None], draws.many(0, TURN - 1, count)[:, None])
    peak = np.maximum(cosine(number * (turns - start)), 0)
    sharp = peak * peak // COSINE_ONE * peak // COSINE_ONE
    # Negative between tips, so that cells with tips are no larger.
    return (sharp * 14 - COSINE_ONE * 3) * (draws.many(0, percent, count)[:, None]) // COSINE_ONE


def _join(one: int, other: int, x: Ints, y: Ints, outline: Ints, nucleus: Ints) -> None:
    """Rounds two daughter cells, separates their nuclei, and leaves a gap for the bridge."""
    turns = np.arange(TURN)
    distance = int(np.rint(np.sqrt(float((x[one] - x[other]) ** 2 + (y[one] - y[other]) ** 2)) * EIGHTHS))
    for row, mate in ((one, other), (other, one)):
        across, down = int(x[mate] - x[row]), int(y[mate] - y[row])
        length = max(1, distance // EIGHTHS)
        towards = (cosine(turns) * across + sine(turns) * down) // length
        # The line midway between the daughter cells, less half the gap, in each direction that meets it.
        limit = np.where(
            towards > COSINE_ONE // 8, (distance // 2 - 9 * EIGHTHS) * COSINE_ONE // np.maximum(towards, 1), 1 << 20
        )
        outline[row] = np.minimum(np.minimum(outline[row], distance * 50 // 100), limit)
        nucleus[row] = np.minimum(nucleus[row] * 85 // 100, np.maximum(outline[row] - 6 * EIGHTHS, EIGHTHS))
