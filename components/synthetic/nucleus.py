"""Proteins of the nucleus: patterns of the green filter."""

import numpy as np

from components.synthetic.light import Light, curve, dimmed, product, soft, through, total, without
from components.synthetic.polar import TURN
from components.synthetic.spots import Spots
from components.synthetic.stage import Stage

_GRAIN = curve((0, 120), (255, 255))


def nucleoplasm(stage: Stage) -> Light:
    """The nucleus without its nucleoli."""
    body = product(stage.in_nucleus, through(_GRAIN, stage.texture("grain")))
    return without(body, dimmed(stage.nucleolar, 85))


def nuclear_membrane(stage: Stage) -> Light:
    """A thin ring around the nucleus."""
    ring = curve((0, 0), (3, 255), (9, 255), (16, 60), (40, 36), (255, 36))
    return soft(product(through(ring, stage.regions.nuclear), through(_GRAIN, stage.texture("mottle"))))


def nucleoli(stage: Stage) -> Light:
    """One to four bright bodies in the nucleus, where blue is dark."""
    return product(stage.nucleolar, through(_GRAIN, stage.texture("grain")))


def fibrillar_centres(stage: Stage) -> Light:
    """A few small dots within each nucleolus."""
    homes, draws = stage.nucleoli, stage.draws
    of = np.repeat(np.arange(len(homes.cell)), draws.many(3, 5, len(homes.cell)))
    turns, away = draws.many(0, TURN - 1, len(of)), homes.radius[of] * draws.many(30, 85, len(of)) // 100
    x, y = stage.cells.at(homes.cell[of], turns, away)
    x, y = x - stage.cells.x[homes.cell[of]] + homes.x[of], y - stage.cells.y[homes.cell[of]] + homes.y[of]
    dots = Spots().stamp(x, y, draws.many(10, 14, len(of)), draws.many(200, 255, len(of))).light()
    return total(product(soft(dots), stage.in_nucleus), dimmed(stage.nucleolar, 12))


def nuclear_speckles(stage: Stage) -> Light:
    """Twenty or so irregular patches in each nucleus."""
    patches = through(curve((0, 24), (140, 34), (190, 110), (235, 255), (255, 255)), stage.texture("specks"))
    return without(product(soft(patches), stage.in_nucleus), stage.nucleolar)


def nuclear_bodies(stage: Stage) -> Light:
    """Two to six sharp dots in each nucleus."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 2, 6)
    x, y = stage.cells.within_nucleus(rows, draws.many(0, TURN - 1, len(rows)), draws.many(150, 800, len(rows)))
    dots = Spots().stamp(x, y, draws.many(14, 24, len(rows)), draws.many(200, 255, len(rows))).light()
    return total(soft(dots), dimmed(stage.in_nucleus, 6))
