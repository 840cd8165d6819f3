"""The 28 protein locations of the Human Protein Atlas competition, reading and writing of labels, and the metric."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

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
MAX_STAINS = 8
_COLOURS = {"rgb": FILTERS[:3], "rgby": FILTERS}
# Colour letters are more likely a mistake than the name of a stain.
_LETTERS = re.compile(r"[rgby]{2,4}", re.IGNORECASE)
_STAIN_NAME = re.compile(r"[\w+()#-][\w+()#. -]{0,39}")


def parse_channels(channels: str) -> tuple[str, ...]:
    """Parses the parameter `channels`: `rgb`, `rgby`, or the names of one to eight stains, such as `DNA,protein`.

    Returns:
        The stains in the order in which they become channels.

    Raises:
        ValueError: If it is invalid. The message says what was expected.
    """
    if channels in _COLOURS:
        return _COLOURS[channels]
    names = tuple(unicodedata.normalize("NFC", name).strip() for name in channels.split(","))
    if len(names) > MAX_STAINS or len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"expected rgb, rgby, or one to {MAX_STAINS} different names of stains, such as DNA,protein")
    for name in names:
        if not _STAIN_NAME.fullmatch(name) or _LETTERS.fullmatch(name):
            raise ValueError(
                "expected rgb, rgby, or names of stains such as DNA,protein, each of at most 40 letters, digits, spaces and "
                f"_ - + . ( ) #. {name!r} is not a valid name"
            )
    return names


def stains_of_source(channels: Sequence[str]) -> tuple[str, ...]:
    """The stains that a source may have: the four colours for red, green and blue, or else the channels."""
    return FILTERS if tuple(channels) == FILTERS[:3] else tuple(channels)


def required_stains(stains: Sequence[str]) -> tuple[str, ...]:
    """The stains that each sample of a source should have: yellow may be missing from the four colours."""
    return FILTERS[:3] if tuple(stains) == FILTERS else tuple(stains)


def parse_target(target: str, class_names: Sequence[str], first_class: int = 0) -> tuple[int, ...]:
    """Parses a `Target` cell to sorted class indices: indices such as `"16 0"`, or names such as `"Nucleoli; Cytosol"`.

    Names are separated by `;` or `|`, and case-insensitive. A cell without letters holds indices, which may also be separated
    by spaces.

    Args:
        target: The cell.
        class_names: The names of the classes, by index.
        first_class: The number of the first class in the cell, 0 or 1. The result counts from 0.

    Raises:
        ValueError: If it is empty, contains something that is not a class, or repeats a class.
    """
    is_named = any(character.isalpha() for character in target)
    words = [word.strip() for word in re.split(r"[;|]" if is_named else r"[;|\s]", target) if word.strip()]
    if not words:
        raise ValueError(
            "Target is empty: expected class indices separated by spaces, such as '16 0', or names separated by ';'. "
            "Images that show none of the classes need a class of their own"
        )
    labels = _named(words, class_names) if is_named else _numbered(words, class_names, first_class)
    if len(set(labels)) != len(labels):
        raise ValueError(f"Target repeats a class. Received: {target!r}")
    return tuple(sorted(labels))


def _named(words: Iterable[str], class_names: Sequence[str]) -> list[int]:
    positions = {name.casefold(): label for label, name in enumerate(class_names)}
    labels = []
    for word in words:
        if word.casefold() not in positions:
            near = difflib.get_close_matches(word.casefold(), positions, n=1)
            guess = f" Did you mean {class_names[positions[near[0]]]!r}?" if near else ""
            some = ", ".join(class_names[:3]) + (", ..." if len(class_names) > 3 else "")
            raise ValueError(
                f"Target names an unknown class: expected names such as {some}, separated by ';'. Received: {word!r}.{guess}"
                f"{_hint(class_names)}"
            )
        labels.append(positions[word.casefold()])
    return labels


def _hint(class_names: Sequence[str]) -> str:
    return " For classes of your own, give the parameter classes" if tuple(class_names) == CLASS_NAMES else ""


def _numbered(words: Iterable[str], class_names: Sequence[str], first_class: int) -> list[int]:
    labels = []
    last_class = first_class + len(class_names) - 1
    for word in words:
        # No index has that many digits, and int() refuses thousands of them with its own message.
        if not (word.isascii() and word.isdigit() and len(word) < 10 and first_class <= int(word) <= last_class):
            given = f", as first_class={first_class} says" if first_class else ""
            raise ValueError(
                f"Target names an unknown class: expected indices from {first_class} to {last_class}{given}. "
                f"Received: {word!r}.{_hint(class_names)}"
            )
        labels.append(int(word) - first_class)
    return labels


def format_target(labels: Iterable[int]) -> str:
    """Writes class indices as a `Target` cell: the inverse of `parse_target`."""
    return " ".join(str(label) for label in labels)


def f1_macro(y_true: "np.ndarray", y_pred: "np.ndarray") -> float:
    """The competition's metric, macro F1: like scikit-learn's with `zero_division=0`, but many times faster.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.
    """
    hits, cases = (y_true & y_pred).sum(axis=0), y_true.sum(axis=0) + y_pred.sum(axis=0)
    return float((2 * hits / cases.clip(1)).mean())
