"""Synthetic samples: any number of rendered cell images in the competition's four filters, without a download.

Sample `k` of a seed has the same bytes on any machine, in any process, and for any number of samples.
"""

from dataclasses import dataclass

from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.synthetic.camera import SIDE_PX, Exposure, encode_png, expose
from components.synthetic.cells import MAX_SHIFT_PX, grow
from components.synthetic.draws import Draws
from components.synthetic.light import Light, soft
from components.synthetic.proteins import protein
from components.synthetic.regions import chart
from components.synthetic.roster import sample_group, sample_id, sample_labels
from components.synthetic.stage import Stage
from components.synthetic.stains import microtubules, nuclei, reticulum

__all__ = [
    "FORMAT",
    "SyntheticSample",
    "class_examples",
    "pattern_sample",
    "render_sample",
    "sample_group",
    "sample_id",
    "sample_labels",
]

FORMAT = 1
"""Incremented when the bytes of any sample change."""

# The first numbers of the keys of the streams of draws; roster.py and textures.py use 1 to 4.
_FIELD_STREAM, _SHAPE_STREAM, _PROTEIN_STREAM, _STAIN_STREAM, _EXPOSURE_STREAM, _OWN_STREAM = 5, 6, 7, 8, 9, 10

# Samples of a single pattern are numbered from here, beyond the size of any data set.
_PATTERN_NUMBERS = 1 << 40

_SPINDLE, _BRIDGE, _JUNCTIONS = (
    CLASS_NAMES.index(name) for name in ("Mitotic spindle", "Cytokinetic bridge", "Cell junctions")
)


@dataclass(frozen=True)
class SyntheticSample:
    """One rendered sample.

    Attributes:
        sample_id: An opaque id, unique for each seed and number.
        labels: Sorted class indices.
        group: Number of the first member of its near-duplicate group; its own number if it has no near-duplicates.
        pngs: A 512x512 8-bit greyscale PNG file for each filter: red, green, blue, yellow.
    """

    sample_id: str
    labels: tuple[int, ...]
    group: int
    pngs: dict[str, bytes]


def render_sample(seed: int, k: int) -> SyntheticSample:
    """Renders sample `k` of a seed, with the same bytes everywhere."""
    labels, group = sample_labels(seed, k), sample_group(seed, k)
    return SyntheticSample(sample_id(seed, k), labels, group, _render(seed, group, k, labels))


def pattern_sample(seed: int, label: int) -> SyntheticSample:
    """Renders a field with a single class, for pages that show what each class looks like.

    It is not one of the seed's numbered samples, in which rare classes are few and usually occur with other labels.

    Raises:
        ValueError: If the class index is unknown.
    """
    if not 0 <= label < len(CLASS_NAMES):
        raise ValueError(
            f"A pattern shows a single class: expected an index from 0 to {len(CLASS_NAMES) - 1}. Received: {label}"
        )
    number = _PATTERN_NUMBERS + label
    return SyntheticSample(sample_id(seed, number), (label,), number, _render(seed, number, number, (label,)))


def class_examples(seed: int) -> tuple[SyntheticSample, ...]:
    """One field for each class, in order, for a contact sheet of all patterns."""
    return tuple(pattern_sample(seed, label) for label in range(len(CLASS_NAMES)))


def _render(seed: int, group: int, k: int, labels: tuple[int, ...]) -> dict[str, bytes]:
    own = Draws(_OWN_STREAM, seed, k)
    shift, brightness = (0, 0), 100
    if k != group:
        if own.chance(60):
            shift = (own.between(-MAX_SHIFT_PX, MAX_SHIFT_PX), own.between(-MAX_SHIFT_PX, MAX_SHIFT_PX))
        brightness = own.between(72, 128)
    field = Draws(_FIELD_STREAM, seed, group)
    num_mitotic = field.between(2, 4) if _SPINDLE in labels else 0
    num_bridges = field.between(2, 3) if _BRIDGE in labels else 0
    cells = grow(field, shift, num_mitotic, num_bridges, _JUNCTIONS in labels)
    stage = Stage(cells, chart(cells), Draws(_SHAPE_STREAM, seed, group), Draws(_PROTEIN_STREAM, seed, group))
    stains = Draws(_STAIN_STREAM, seed, group)
    lights = {
        "red": microtubules(stage, stains),
        "green": protein(stage, labels),
        "blue": nuclei(stage, stains),
        "yellow": reticulum(stage, stains),
    }
    taken = Draws(_EXPOSURE_STREAM, seed, group)
    pngs = {}
    for name in FILTERS:
        exposure = _exposure(name, taken, brightness)
        noise = own.noise(SIDE_PX * SIDE_PX).reshape(SIDE_PX, SIDE_PX)
        pngs[name] = encode_png(expose(_focused(lights[name], taken), exposure, noise))
    return pngs


def _focused(light: Light, draws: Draws) -> Light:
    return soft(light) if draws.chance(35) else light


def _exposure(name: str, draws: Draws, brightness: int) -> Exposure:
    gain = {"red": (170, 620), "green": (240, 370), "blue": (150, 440), "yellow": (130, 480)}[name]
    return Exposure(
        # The smaller of two draws: most are moderate, some are close to the end of the scale.
        gain=min(draws.between(*gain), draws.between(*gain)) * brightness // 100,
        background=draws.between(0, 2),
        black=draws.between(2, 4),
        shot=draws.between(8, 70) if name != "blue" else draws.between(5, 28),
        read=draws.between(4, 28) if name != "blue" else draws.between(3, 16),
    )
