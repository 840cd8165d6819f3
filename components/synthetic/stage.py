"""The parts of a field that several filters show: cells, their regions, nucleoli, microtubules and spindles."""

from dataclasses import dataclass

import numpy as np

from components.synthetic.cells import ANAPHASE, INTERPHASE, METAPHASE, Cells
from components.synthetic.draws import Draws
from components.synthetic.light import Light, curve, dimmed, product, soft, thick, through, total, without
from components.synthetic.polar import EIGHTHS, TURN, Ints
from components.synthetic.regions import Regions
from components.synthetic.spots import Spots
from components.synthetic.textures import texture
from components.synthetic.threads import bridges, mesh, spindles

# Soft-edged masks; depths are quarters of a pixel.
IN_CELL = curve((0, 0), (4, 255))
IN_NUCLEUS = curve((0, 0), (5, 255))


@dataclass(frozen=True)
class Nucleoli:
    """Nucleoli of all cells, one per row: the row of the cell, the centre in pixels, the radius in eighths of a pixel."""

    cell: Ints
    x: Ints
    y: Ints
    radius: Ints


class Stage:
    """A field of cells, ready to be stained.

    Attributes:
        cells, regions: The cells, and the map of pixels to cells.
        draws: The random draws of the proteins.
        in_cell, in_nucleus, in_cytoplasm: Soft masks.
        nucleoli: Their positions; `nucleolar` shows them.
        chromosomes: Condensed chromosomes, of mitotic cells only.
        mesh, spindle, bridge: Microtubules of interphase cells, of mitotic ones, and between daughter cells.
    """

    def __init__(self, cells: Cells, regions: Regions, shapes: Draws, draws: Draws) -> None:
        self.cells, self.regions, self.draws = cells, regions, draws
        self._shapes = shapes
        self.in_cell = through(IN_CELL, regions.inside)
        self.in_nucleus = through(IN_NUCLEUS, regions.nuclear)
        self.in_cytoplasm = product(self.in_cell, ~self.in_nucleus)
        self.resting = cells.rows(INTERPHASE)
        self.nucleoli = self._draw_nucleoli()
        spots = Spots().stamp(self.nucleoli.x, self.nucleoli.y, self.nucleoli.radius, np.array(255))
        self.nucleolar = product(soft(spots.light()), self.in_nucleus)
        self.mesh = product(mesh(shapes, cells, shapes.between(180, 320)), self.in_cytoplasm)
        self.chromosomes = self._draw_chromosomes()
        fibres = spindles(shapes, cells)
        self.spindle = without(total(dimmed(fibres, 40), soft(thick(fibres))), self.chromosomes)
        self.bridge = bridges(cells, 15)

    def texture(self, name: str) -> Light:
        """A fresh piece of a texture."""
        return texture(name, self._shapes, self.cells.origin)

    def per_cell(self, levels: Ints) -> Light:
        """A brightness for each cell (0 to 255), spread over its pixels; black outside of cells."""
        table = np.zeros(256, np.uint8)
        table[1 : len(levels) + 1] = levels[:255]
        return through(table.tobytes(), self.regions.owner)

    def scattered(self, rows: Ints, low: int, high: int) -> Ints:
        """Rows, each repeated a random number of times: the cells of many small objects."""
        return np.repeat(rows, self.draws.many(low, high, len(rows)))

    def anywhere(self, rows: Ints, low: int, high: int) -> tuple[Ints, Ints]:
        """A random point in the cytoplasm of each given cell, between two distances to the membrane in permille."""
        turns = self.draws.many(0, TURN - 1, len(rows))
        return self.cells.between(rows, turns, self.draws.many(low, high, len(rows)))

    def beside_nucleus(self, rows: Ints, spread: int, low: int, high: int) -> tuple[Ints, Ints]:
        """A random point near the pole of each given cell, between two distances (eighths) from its nucleus."""
        turns = (self.cells.pole[rows] + self.draws.many(-spread, spread, len(rows))) & (TURN - 1)
        away = self.cells.nucleus[rows, turns] + self.draws.many(low, high, len(rows))
        # In narrow cells, points stay inside.
        return self.cells.at(rows, turns, np.minimum(away, self.cells.outline[rows, turns] - 12))

    def _draw_nucleoli(self) -> Nucleoli:
        shapes = self._shapes
        cell = np.repeat(self.resting, shapes.many(1, 4, len(self.resting)))
        reach = np.minimum(shapes.many(80, 640, len(cell)), shapes.many(200, 640, len(cell)))
        x, y = self.cells.within_nucleus(cell, shapes.many(0, TURN - 1, len(cell)), reach)
        mean = self.cells.nucleus[cell].sum(axis=1) // TURN
        return Nucleoli(cell, x, y, mean * shapes.many(13, 27, len(cell)) // 100)

    def _draw_chromosomes(self) -> Light:
        """One plate across the spindle, or two that have separated."""
        cells, shapes, spots = self.cells, self._shapes, Spots()
        for phase, parting in ((METAPHASE, 0), (ANAPHASE, 9)):
            rows = np.repeat(cells.rows(phase), 34)
            count = len(rows)
            along = shapes.many(-12, 12, count) + parting * EIGHTHS * (2 * shapes.many(0, 1, count) - 1)
            x, y = cells.at(rows, cells.axis[rows], along)
            across, down = cells.at(rows, cells.axis[rows] + TURN // 4, shapes.many(-14 * EIGHTHS, 14 * EIGHTHS, count))
            size, level = shapes.many(18, 28, count), shapes.many(190, 255, count)
            spots.stamp(x + across - cells.x[rows], y + down - cells.y[rows], size, level)
        return soft(spots.light())


def lit(*lights: Light) -> Light:
    """The sum of several lights."""
    added = lights[0]
    for light in lights[1:]:
        added = total(added, light)
    return added
