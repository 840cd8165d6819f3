"""Filaments, drawn as bent lines one pixel wide.

Coordinates are in eighths of a pixel. NumPy draws all lines at once, in whole numbers: thousands of calls to a drawing library
would take several times as long, and use floats for wider lines.
"""

import numpy as np

from components.synthetic.camera import SIDE_PX
from components.synthetic.cells import ANAPHASE, INTERPHASE, METAPHASE, Cells
from components.synthetic.draws import Draws
from components.synthetic.light import Light
from components.synthetic.polar import COSINE_ONE, EIGHTHS, TURN, Ints, cosine, sine

_BULGE = ((0, 0), (25, 52), (50, 80), (75, 95), (100, 100))


def drawn(x: Ints, y: Ints, level: Ints) -> Light:
    """Draws a line through the points of each row. Where lines cross, the brighter one is on top.

    Args:
        x: One row of points for each line, in eighths of a pixel from the left.
        y: The same from the top.
        level: Brightness of each line, 0 to 255.
    """
    canvas = np.zeros(SIDE_PX * SIDE_PX, np.uint8)
    if x.size == 0:
        return canvas.reshape(SIDE_PX, SIDE_PX)
    order = np.argsort(level, kind="stable")
    x, y = x[order], y[order]
    across, down = np.diff(x, axis=1), np.diff(y, axis=1)
    # As many steps as the longest segment has pixels, so that there are no gaps.
    steps = int(max(np.abs(across).max(), np.abs(down).max())) // EIGHTHS + 1
    share = np.arange(steps)
    columns = ((x[:, :-1, None] + across[:, :, None] * share // steps) // EIGHTHS).ravel()
    rows = ((y[:, :-1, None] + down[:, :, None] * share // steps) // EIGHTHS).ravel()
    bright = np.repeat(level[order].astype(np.uint8), across.shape[1] * steps)
    seen = (columns >= 0) & (columns < SIDE_PX) & (rows >= 0) & (rows < SIDE_PX)
    # A repeated index keeps the last value, which is the brightest, as lines are sorted.
    canvas[(rows * SIDE_PX + columns)[seen]] = bright[seen]
    return canvas.reshape(SIDE_PX, SIDE_PX)


def wander(
    draws: Draws, x: Ints, y: Ints, heading: Ints, bend: int, step: int, num_points: int, curl: int = 0
) -> tuple[Ints, Ints]:
    """Random paths, in eighths of a pixel, from each given point in a given heading.

    Args:
        draws: The random draws.
        x: Starting points in pixels from the left.
        y: The same from the top.
        heading: Initial heading in 1024ths of a turn.
        bend: The largest change of the heading from one step to the next, in 1024ths of a turn.
        step: The length of a step in eighths of a pixel.
        num_points: The number of points of each path.
        curl: The largest constant change of a path's heading per step, in 1024ths of a turn.
    """
    turns = heading[:, None] + np.cumsum(draws.many(-bend, bend, len(x), num_points - 1), axis=1)
    if curl:
        turns = turns + draws.many(-curl, curl, len(x))[:, None] * np.arange(num_points - 1)
    across = np.cumsum(cosine(turns), axis=1) * step // COSINE_ONE
    down = np.cumsum(sine(turns), axis=1) * step // COSINE_ONE
    start = np.zeros((len(x), 1), np.int64)
    return x[:, None] * EIGHTHS + np.hstack([start, across]), y[:, None] * EIGHTHS + np.hstack([start, down])


def mesh(draws: Draws, cells: Cells, density: int) -> Light:
    """Microtubules of interphase cells: long fibres, some radial, some along the cell, some wound around the nucleus.

    Args:
        draws: The random draws.
        cells: The field.
        density: The number of filaments for each 100 pixels of a cell's mean radius.
    """
    rows = cells.rows(INTERPHASE)
    size = cells.outline[rows].sum(axis=1) // (TURN * EIGHTHS)
    rows = np.repeat(rows, size * density // 100)
    count = len(rows)
    turns = draws.many(0, TURN - 1, count)
    start = np.minimum(draws.many(0, 900, count), draws.many(0, 1000, count))
    x, y = cells.between(rows, turns, start)
    kind = draws.many(0, 99, count)
    way = TURN // 2 * draws.many(0, 1, count)
    heading = np.where(kind < 45, turns, np.where(kind < 70, cells.axis[rows] + way, turns + TURN // 4 + way))
    path = wander(draws, x, y, heading + draws.many(-80, 80, count), 30, 36, 10, curl=26)
    # Few bright fibres over many dim ones.
    return drawn(*path, np.minimum(draws.many(40, 255, count), draws.many(60, 255, count)))


def basket(draws: Draws, cells: Cells, per_cell: int) -> Light:
    """Intermediate filaments: wavy bundles wound around the nucleus, densest close to it."""
    rows = np.repeat(cells.rows(INTERPHASE), per_cell)
    count, num_points = len(rows), 14
    step = np.arange(num_points)
    slope = draws.many(7, 22, count) * (2 * draws.many(0, 1, count) - 1)
    turns = draws.many(0, TURN - 1, count)[:, None] + slope[:, None] * step
    start = np.minimum(draws.many(20, 850, count), draws.many(20, 850, count))
    rise = draws.many(-22, 45, count)
    wave = cosine(draws.many(70, 150, count)[:, None] * step + draws.many(0, TURN - 1, count)[:, None])
    permille = start[:, None] + rise[:, None] * step + wave * draws.many(15, 50, count)[:, None] // COSINE_ONE
    x, y = cells.between(rows[:, None], turns, np.clip(permille, 10, 970))
    return drawn(x * EIGHTHS, y * EIGHTHS, draws.many(80, 255, count))


def spindles(draws: Draws, cells: Cells) -> Light:
    """Spindles of the mitotic cells: fibres from two poles to the chromosomes between them."""
    fibres = 10
    mitotic = cells.rows(METAPHASE, ANAPHASE)
    rows = np.repeat(mitotic, 2 * fibres)
    count = len(rows)
    side = np.tile(np.repeat([0, TURN // 2], fibres), len(mitotic))
    axis = cells.axis[rows]
    pole = cells.at(rows, axis + side, np.full(count, 19 * EIGHTHS) + draws.many(-6, 6, count))
    foot = cells.at(rows, axis + TURN // 4, draws.many(-13 * EIGHTHS, 13 * EIGHTHS, count))
    path = []
    for start, end, middle in zip(pole, foot, (cells.x[rows], cells.y[rows]), strict=True):
        # Fibres bulge: percent of the way along the axis, and of the way outwards.
        steps = [start * (100 - along) + middle * along + (end - middle) * out for along, out in _BULGE]
        path.append(np.stack(steps, axis=1) * EIGHTHS // 100)
    return drawn(path[0], path[1], draws.many(150, 255, count))


def bridges(cells: Cells, half_length_px: int) -> Light:
    """Bridges between joined daughter cells: three parallel lines around the point midway between the two nuclei."""
    light = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for one, other in cells.bridges:
        x, y = int(cells.x[one] + cells.x[other]) // 2, int(cells.y[one] + cells.y[other]) // 2
        across, down = int(cells.x[other] - cells.x[one]), int(cells.y[other] - cells.y[one])
        length = max(abs(across), abs(down), 1)
        for aside in (-1, 0, 1):
            right, below = (0, aside) if abs(across) > abs(down) else (aside, 0)
            ends = [sign * half_length_px for sign in (-1, 1)]
            path_x = np.array([[x + right + across * end // length for end in ends]])
            path_y = np.array([[y + below + down * end // length for end in ends]])
            light = np.maximum(light, drawn(path_x * EIGHTHS, path_y * EIGHTHS, np.array([230])))
    return light
