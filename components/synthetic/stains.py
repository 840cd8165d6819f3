"""The three filters that do not depend on the protein: microtubules (red), nuclei (blue), reticulum (yellow)."""

from components.synthetic.draws import Draws
from components.synthetic.light import Light, curve, dimmed, haze, product, soft, through, total, without
from components.synthetic.stage import Stage, lit

# Distance to the nucleus in halves of a pixel; depth below the membrane in quarters.
_RED_FALL = curve((0, 130), (1, 190), (16, 255), (60, 200), (150, 140), (255, 110))
_RETICULUM_FALL = curve((0, 0), (2, 255), (30, 225), (80, 130), (160, 75), (255, 45))
_THIN_EDGE = curve((0, 0), (6, 110), (40, 190), (110, 255))
_CHROMATIN = curve((0, 110), (70, 170), (200, 215), (255, 255))
_FINE_CHROMATIN = curve((0, 150), (128, 215), (255, 255))
_GRANULES = curve((0, 10), (110, 70), (190, 180), (255, 255))
_MOTTLED = curve((0, 110), (255, 255))


def microtubules(stage: Stage, draws: Draws) -> Light:
    """The red filter."""
    gain = stage.per_cell(draws.many(100, 255, len(stage.cells)))
    fall = product(through(_RED_FALL, stage.regions.around), through(_THIN_EDGE, stage.regions.inside))
    fibres = total(dimmed(stage.mesh, 38), dimmed(soft(stage.mesh), 66))
    body = product(dimmed(stage.texture("grain"), draws.between(12, 26)), stage.in_cytoplasm)
    resting = product(product(total(fibres, body), fall), gain)
    return lit(resting, dimmed(stage.spindle, 85), dimmed(soft(stage.bridge), 90), dimmed(haze(resting), draws.between(2, 22)))


def nuclei(stage: Stage, draws: Draws) -> Light:
    """The blue filter."""
    gain = stage.per_cell(draws.many(120, 250, len(stage.cells)))
    chromatin = product(through(_CHROMATIN, stage.texture("mottle")), through(_FINE_CHROMATIN, stage.texture("mesh")))
    body = product(product(stage.in_nucleus, chromatin), gain)
    body = without(body, dimmed(stage.nucleolar, 62))
    return total(body, stage.chromosomes)


def reticulum(stage: Stage, draws: Draws) -> Light:
    """The yellow filter."""
    gain = stage.per_cell(draws.many(100, 255, len(stage.cells)))
    fall = through(_RETICULUM_FALL, stage.regions.around)
    net = product(through(_GRANULES, stage.texture("grain")), through(_MOTTLED, stage.texture("specks")))
    net = total(dimmed(net, 80), dimmed(through(_GRANULES, stage.texture("lace")), 45))
    fall = product(fall, through(_THIN_EDGE, stage.regions.inside))
    body = product(product(net, fall), product(stage.in_cytoplasm, gain))
    dim = dimmed(product(stage.in_nucleus, gain), 8)
    return lit(body, dim, dimmed(haze(body), draws.between(0, 15)), dimmed(soft(stage.bridge), 30))
