"""Proteins outside of the nucleus: patterns of the green filter."""

import numpy as np

from components.synthetic.light import Light, curve, dimmed, product, soft, thick, through, total, without
from components.synthetic.polar import EIGHTHS, TURN
from components.synthetic.spots import Spots
from components.synthetic.stage import Stage, lit
from components.synthetic.threads import basket, drawn, wander

_GRAIN = curve((0, 120), (255, 255))
_COARSE = curve((0, 60), (255, 255))


def reticulum(stage: Stage) -> Light:
    """A net around the nucleus that thins out towards the membrane."""
    fall = curve((0, 0), (2, 255), (24, 210), (70, 110), (150, 45), (255, 20))
    net = through(curve((0, 30), (150, 110), (255, 255)), stage.texture("mesh"))
    net = product(net, through(_COARSE, stage.texture("grain")))
    net = total(net, dimmed(through(_COARSE, stage.texture("specks")), 30))
    return product(product(net, through(fall, stage.regions.around)), stage.in_cytoplasm)


def golgi(stage: Stage) -> Light:
    """A ribbon on one side of the nucleus."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 12, 20)
    x, y = stage.beside_nucleus(rows, 110, 10, 110)
    heading = stage.cells.pole[rows] + TURN // 4 + draws.many(-120, 120, len(rows))
    path_x, path_y = wander(draws, x, y, heading, 120, 16, 8)
    ribbon = soft(thick(thick(drawn(path_x, path_y, draws.many(150, 255, len(rows))))))
    return product(ribbon, stage.in_cytoplasm)


def peroxisomes(stage: Stage) -> Light:
    """Very many tiny dots all over the cytoplasm."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 70, 110)
    x, y = stage.anywhere(rows, 60, 900)
    return product(Spots().stamp(x, y, np.array(8), draws.many(130, 255, len(rows))).light(), stage.in_cytoplasm)


def endosomes(stage: Stage) -> Light:
    """Dots and small rings of several sizes, more of them near the nucleus."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 16, 28)
    x, y = stage.anywhere(rows, 60, 560)
    half = len(rows) // 2
    sizes, levels = draws.many(12, 26, len(rows)), draws.many(140, 255, len(rows))
    spots = Spots().stamp(x[:half], y[:half], sizes[:half], levels[:half])
    return product(soft(spots.stamp(x[half:], y[half:], sizes[half:] + 6, levels[half:], 50).light()), stage.in_cytoplasm)


def lysosomes(stage: Stage) -> Light:
    """Large dots crowded on one side of the nucleus."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 16, 26)
    x, y = stage.beside_nucleus(rows, 190, 16, 190)
    return product(
        soft(Spots().stamp(x, y, draws.many(20, 36, len(rows)), draws.many(150, 255, len(rows))).light()), stage.in_cytoplasm
    )


def intermediate_filaments(stage: Stage) -> Light:
    """Wavy bundles that lie around the nucleus like a basket."""
    bundles = basket(stage.draws, stage.cells, 36)
    bundles = total(dimmed(bundles, 40), dimmed(soft(thick(bundles)), 60))
    pieces = through(_COARSE, stage.texture("cloud"))
    return product(product(bundles, pieces), stage.in_cytoplasm)


def actin(stage: Stage) -> Light:
    """Straight parallel fibres through the whole cell, and a bright rim."""
    draws, cells = stage.draws, stage.cells
    rows = np.repeat(stage.resting, 24)
    turn = cells.axis[rows] + draws.many(-14, 14, len(rows))
    aside = draws.many(-900, 900, len(rows))
    # Chords along the axis: both ends are on the outline, mirrored about the direction across it.
    bow = TURN // 4 * (900 - np.abs(aside)) // 900
    side = np.where(aside < 0, -1, 1) * (TURN // 4)
    head, tail = (cells.between(rows, turn + side + sign * bow, np.full(len(rows), 940)) for sign in (-1, 1))
    cut = draws.many(0, 45, len(rows)), draws.many(55, 100, len(rows))
    path = [np.stack([(h * (100 - c) + t * c) * EIGHTHS // 100 for c in cut], axis=1) for h, t in zip(head, tail, strict=True)]
    fibres = drawn(path[0], path[1], draws.many(60, 255, len(rows)))
    fibres = product(total(dimmed(fibres, 45), dimmed(soft(fibres), 75)), through(_COARSE, stage.texture("cloud")))
    rim = through(curve((0, 0), (4, 190), (10, 190), (18, 30), (255, 18)), stage.regions.inside)
    return product(lit(fibres, product(rim, through(_COARSE, stage.texture("mottle")))), stage.in_cell)


def focal_adhesions(stage: Stage) -> Light:
    """Short thick dashes at the rim, pointing inwards."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 22, 40)
    turns = draws.many(0, TURN - 1, len(rows))
    x, y = stage.cells.between(rows, turns, np.maximum(draws.many(300, 970, len(rows)), draws.many(500, 970, len(rows))))
    heading = turns + TURN // 2 + draws.many(-70, 70, len(rows))
    short, long = wander(draws, x, y, heading, 12, 14, 4), wander(draws, x, y, heading, 12, 22, 4)
    dashes = np.maximum(
        drawn(short[0][::2], short[1][::2], draws.many(140, 255, len(rows))[::2]),
        drawn(long[0][1::2], long[1][1::2], draws.many(140, 255, len(rows))[1::2]),
    )
    weak = dimmed(product(stage.in_cytoplasm, stage.texture("grain")), 14)
    return total(product(soft(thick(dashes)), stage.in_cell), weak)


def microtubules(stage: Stage) -> Light:
    """The fibres of the red filter."""
    fibres = soft(stage.mesh)
    return lit(fibres, dimmed(fibres, 60), stage.spindle)


def microtubule_ends(stage: Stage) -> Light:
    """Comets: short faint-tailed dashes that point outwards, all over the cell."""
    draws, rows = stage.draws, np.repeat(stage.resting, 50)
    turns = draws.many(0, TURN - 1, len(rows))
    x, y = stage.cells.between(rows, turns, draws.many(150, 900, len(rows)))
    path = wander(draws, x, y, turns, 20, 14, 4)
    tails = dimmed(soft(drawn(*path, draws.many(150, 255, len(rows)))), 80)
    heads = (
        Spots()
        .stamp(path[0][:, -1] // EIGHTHS, path[1][:, -1] // EIGHTHS, np.array(8), draws.many(150, 255, len(rows)))
        .light()
    )
    return product(total(tails, heads), stage.in_cell)


def cytokinetic_bridge(stage: Stage) -> Light:
    """The bridge between two daughter cells, brightest in the middle."""
    spots = Spots()
    for one, other in stage.cells.bridges:
        x, y = (stage.cells.x[[one]] + stage.cells.x[[other]]) // 2, (stage.cells.y[[one]] + stage.cells.y[[other]]) // 2
        spots.stamp(x, y, np.array([34]), np.array([255]))
    return lit(soft(stage.bridge), soft(spots.light()), dimmed(product(stage.in_cytoplasm, stage.texture("grain")), 8))


def mitotic_spindle(stage: Stage) -> Light:
    """The spindle of mitotic cells."""
    return lit(stage.spindle, dimmed(product(stage.in_cell, stage.texture("grain")), 8))


def organizing_centre(stage: Stage) -> Light:
    """A cloud beside the nucleus from which short fibres leave."""
    draws = stage.draws
    x, y = stage.beside_nucleus(stage.resting, 20, 44, 64)
    cloud = soft(soft(Spots().stamp(x, y, draws.many(26, 40, len(x)), draws.many(190, 255, len(x))).light()))
    rays = wander(draws, np.repeat(x, 12), np.repeat(y, 12), draws.many(0, TURN - 1, len(x) * 12), 60, 26, 5)
    return product(total(cloud, dimmed(soft(drawn(*rays, draws.many(120, 220, len(x) * 12))), 90)), stage.in_cell)


def centrosome(stage: Stage) -> Light:
    """One or two sharp dots beside the nucleus."""
    draws = stage.draws
    x, y = stage.beside_nucleus(stage.resting, 20, 24, 56)
    level = draws.many(225, 255, len(x))
    spots = Spots().stamp(x, y, np.array(18), level)
    spots.stamp(x + draws.many(-5, 5, len(x)), y + draws.many(-5, 5, len(x)), np.array(16), level)
    return total(spots.light(), dimmed(product(stage.in_cell, stage.texture("grain")), 5))


def lipid_droplets(stage: Stage) -> Light:
    """Beads with a bright rim, in heaps."""
    draws, heaps = stage.draws, stage.scattered(stage.resting, 2, 4)
    x, y = stage.anywhere(heaps, 150, 650)
    rows = np.repeat(np.arange(len(heaps)), 9)
    x, y = x[rows] + draws.many(-13, 13, len(rows)), y[rows] + draws.many(-13, 13, len(rows))
    beads = Spots().stamp(x, y, draws.many(18, 40, len(rows)), draws.many(170, 255, len(rows)), 55).light()
    return product(beads, stage.in_cytoplasm)


def plasma_membrane(stage: Stage) -> Light:
    """The outline of each cell, and a little of its surface."""
    rim = curve((0, 0), (3, 255), (11, 255), (20, 96), (40, 48), (255, 34))
    return product(through(rim, stage.regions.inside), through(_GRAIN, stage.texture("mottle")))


def cell_junctions(stage: Stage) -> Light:
    """Bright lines only where two cells touch, broken into pieces."""
    edge = through(curve((0, 255), (8, 255), (14, 0)), stage.regions.inside)
    touching = through(curve((0, 0), (6, 0), (16, 255)), stage.regions.seam)
    pieces = through(curve((0, 90), (70, 120), (110, 255)), stage.texture("mottle"))
    return total(soft(product(product(edge, touching), pieces)), dimmed(product(stage.in_cell, stage.texture("grain")), 8))


def mitochondria(stage: Stage) -> Light:
    """Short bent threads, dense around the nucleus."""
    draws, rows = stage.draws, np.repeat(stage.resting, 90)
    x, y = stage.anywhere(rows, 30, 700)
    x1, y1 = stage.anywhere(rows, 30, 330)
    near = draws.many(0, 99, len(rows)) < 55
    x, y = np.where(near, x1, x), np.where(near, y1, y)
    threads = drawn(*wander(draws, x, y, draws.many(0, TURN - 1, len(rows)), 80, 16, 8), draws.many(90, 255, len(rows)))
    return product(total(dimmed(threads, 40), dimmed(soft(thick(threads)), 75)), stage.in_cytoplasm)


def aggresome(stage: Stage) -> Light:
    """One large lump beside the nucleus."""
    draws, rows = stage.draws, np.repeat(stage.resting, 4)
    x, y = stage.beside_nucleus(rows, 36, 50, 90)
    lump = Spots().stamp(x, y, draws.many(44, 72, len(rows)), draws.many(200, 255, len(rows))).light()
    return total(product(soft(lump), stage.in_cell), dimmed(stage.in_cytoplasm, 4))


def cytosol(stage: Stage) -> Light:
    """The whole cell without its nucleus."""
    body = product(stage.in_cell, through(_GRAIN, stage.texture("grain")))
    thin = through(curve((0, 90), (60, 200), (160, 255)), stage.regions.inside)
    return product(without(body, dimmed(stage.in_nucleus, 80)), thin)


def cytoplasmic_bodies(stage: Stage) -> Light:
    """Four to nine round dots in the cytoplasm of each cell, far apart."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 4, 9)
    x, y = stage.anywhere(rows, 150, 850)
    return soft(Spots().stamp(x, y, draws.many(20, 32, len(rows)), draws.many(200, 255, len(rows))).light())


def rods_and_rings(stage: Stage) -> Light:
    """One or two rods and rings in each cell."""
    draws, rows = stage.draws, stage.scattered(stage.resting, 1, 2)
    x, y = stage.anywhere(rows, 200, 700)
    rods = thick(drawn(*wander(draws, x, y, draws.many(0, TURN - 1, len(rows)), 6, 60, 4), np.full(len(rows), 240)))
    rows = stage.scattered(stage.resting, 1, 2)
    x, y = stage.anywhere(rows, 200, 700)
    rings = Spots().stamp(x, y, draws.many(44, 60, len(rows)), np.array(245), 66).light()
    return total(soft(np.maximum(rods, rings)), dimmed(stage.in_cytoplasm, 3))
