"""The green filter: the protein of interest, in the locations given by its labels."""

from collections.abc import Callable
from typing import NamedTuple

from components.artifacts.labels import CLASS_NAMES
from components.synthetic import cytoplasm, nucleus
from components.synthetic.light import Light, dimmed, product, total
from components.synthetic.stage import Stage, lit


class Pattern(NamedTuple):
    """How a class is drawn, and its brightness in percent: as the only label, and with others."""

    draw: Callable[[Stage], Light]
    alone: int
    beside: int


PATTERNS: dict[str, Pattern] = {
    "Nucleoplasm": Pattern(nucleus.nucleoplasm, 54, 36),
    "Nuclear membrane": Pattern(nucleus.nuclear_membrane, 90, 75),
    "Nucleoli": Pattern(nucleus.nucleoli, 90, 80),
    "Nucleoli fibrillar center": Pattern(nucleus.fibrillar_centres, 100, 95),
    "Nuclear speckles": Pattern(nucleus.nuclear_speckles, 90, 75),
    "Nuclear bodies": Pattern(nucleus.nuclear_bodies, 100, 95),
    "Endoplasmic reticulum": Pattern(cytoplasm.reticulum, 85, 60),
    "Golgi apparatus": Pattern(cytoplasm.golgi, 90, 80),
    "Peroxisomes": Pattern(cytoplasm.peroxisomes, 90, 80),
    "Endosomes": Pattern(cytoplasm.endosomes, 90, 80),
    "Lysosomes": Pattern(cytoplasm.lysosomes, 95, 85),
    "Intermediate filaments": Pattern(cytoplasm.intermediate_filaments, 100, 85),
    "Actin filaments": Pattern(cytoplasm.actin, 95, 80),
    "Focal adhesion sites": Pattern(cytoplasm.focal_adhesions, 90, 80),
    "Microtubules": Pattern(cytoplasm.microtubules, 85, 65),
    "Microtubule ends": Pattern(cytoplasm.microtubule_ends, 90, 80),
    "Cytokinetic bridge": Pattern(cytoplasm.cytokinetic_bridge, 100, 100),
    "Mitotic spindle": Pattern(cytoplasm.mitotic_spindle, 100, 100),
    "Microtubule organizing center": Pattern(cytoplasm.organizing_centre, 95, 90),
    "Centrosome": Pattern(cytoplasm.centrosome, 100, 100),
    "Lipid droplets": Pattern(cytoplasm.lipid_droplets, 90, 80),
    "Plasma membrane": Pattern(cytoplasm.plasma_membrane, 80, 65),
    "Cell junctions": Pattern(cytoplasm.cell_junctions, 95, 90),
    "Mitochondria": Pattern(cytoplasm.mitochondria, 85, 70),
    "Aggresome": Pattern(cytoplasm.aggresome, 95, 90),
    "Cytosol": Pattern(cytoplasm.cytosol, 42, 26),
    "Cytoplasmic bodies": Pattern(cytoplasm.cytoplasmic_bodies, 100, 95),
    "Rods & rings": Pattern(cytoplasm.rods_and_rings, 100, 95),
}


def protein(stage: Stage, labels: tuple[int, ...]) -> Light:
    """The green filter of a sample with the given class indices."""
    draws = stage.draws
    gain = stage.per_cell(draws.many(175, 255, len(stage.cells)))
    layers = []
    for label in labels:
        pattern = PATTERNS[CLASS_NAMES[label]]
        layers.append(dimmed(pattern.draw(stage), pattern.alone if len(labels) == 1 else pattern.beside))
    specific = lit(*layers)
    weak = dimmed(product(stage.in_cell, stage.texture("grain")), draws.between(2, 6))
    # Cells differ in how much they express; light outside of cells (a bridge) is not dimmed.
    return lit(product(specific, total(gain, ~stage.in_cell)), weak)
