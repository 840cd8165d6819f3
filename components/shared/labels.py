"""The 28 protein locations of the Human Protein Atlas competition, and how labels are written and read."""

from collections.abc import Iterable

# Class names and published counts: the competition's data page and its train.csv (31072 samples). The position in the tuple
# is the class index of train.csv's `Target` column.
PUBLISHED_COUNTS: dict[str, int] = {
    "Nucleoplasm": 12885,
    "Nuclear membrane": 1254,
    "Nucleoli": 3621,
    "Nucleoli fibrillar center": 1561,
    "Nuclear speckles": 1858,
    "Nuclear bodies": 2513,
    "Endoplasmic reticulum": 1008,
    "Golgi apparatus": 2822,
    "Peroxisomes": 53,
    "Endosomes": 45,
    "Lysosomes": 28,
    "Intermediate filaments": 1093,
    "Actin filaments": 688,
    "Focal adhesion sites": 537,
    "Microtubules": 1066,
    "Microtubule ends": 21,
    "Cytokinetic bridge": 530,
    "Mitotic spindle": 210,
    "Microtubule organizing center": 902,
    "Centrosome": 1482,
    "Lipid droplets": 172,
    "Plasma membrane": 3777,
    "Cell junctions": 802,
    "Mitochondria": 2965,
    "Aggresome": 322,
    "Cytosol": 8228,
    "Cytoplasmic bodies": 328,
    "Rods & rings": 11,
}
CLASS_NAMES: tuple[str, ...] = tuple(PUBLISHED_COUNTS)
NUM_PUBLISHED_SAMPLES = 31072

# The four filters (stains) of a sample, in the order in which channels are stored: red microtubules, green the protein of
# interest, blue the nucleus, yellow the endoplasmic reticulum.
FILTERS: tuple[str, ...] = ("red", "green", "blue", "yellow")


def parse_target(target: str, num_classes: int) -> tuple[int, ...]:
    """Reads a `Target` cell such as `"16 0"` into sorted class indices.

    Raises:
        ValueError: If it is empty, holds something that is no class index below `num_classes`, or repeats one.
    """
    words = target.split()
    if not words:
        raise ValueError("Target is empty: expected class indices separated by spaces, such as '16 0'")
    labels = []
    for word in words:
        # No index has so many digits, and int() refuses thousands of them with a message of its own.
        if not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) < num_classes):
            raise ValueError(f"Target names an unknown class: expected indices from 0 to {num_classes - 1}. Received: {word!r}")
        labels.append(int(word))
    if len(set(labels)) != len(labels):
        raise ValueError(f"Target repeats a class. Received: {target!r}")
    return tuple(sorted(labels))


def format_target(labels: Iterable[int]) -> str:
    """Writes class indices as a `Target` cell: the inverse of `parse_target`."""
    return " ".join(str(label) for label in labels)
