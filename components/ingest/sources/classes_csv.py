"""The classes file: the names of a user's own classes."""

import logging

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.table import read_table

CLASSES = "classes.csv"
_COLUMNS = ("index", "name")
_MIN_CLASSES = 2

_log = logging.getLogger(__name__)


def class_names_of(classes: str, source: str = "", first_class: int = 0) -> list[str]:
    """The names of the classes by index: those in a file, or the competition's 28 if there is none.

    Args:
        classes: The file; empty for `classes.csv` in the source's folder, if there is one.
        source: The parameter, such as `dir:<folder>`.
        first_class: The number of the first class in the labels, 0 or 1. The file may count from it, or from 0.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not give each index a name of its own.
    """
    kind, _, folder = source.partition(":")
    uri = classes or (storage.join(folder, CLASSES) if kind == "dir" else "")
    if not uri or not storage.exists(uri):
        if classes:
            raise FileNotFoundError(f"classes: there is no file {uri}. Correct the path, or leave classes out")
        return list(CLASS_NAMES)
    names = _read(uri, first_class)
    _log.info("%d classes from %s: %s", len(names), uri, ", ".join(names[:5]) + (", ..." if len(names) > 5 else ""))
    return names


def _read(uri: str, first_class: int) -> list[str]:
    table = read_table(storage.read_bytes(uri), uri)
    if [name.casefold() for name in table.header] != list(_COLUMNS):
        raise table.no_such_columns(f"the columns {','.join(_COLUMNS)}")
    names: dict[int, tuple[str, int]] = {}
    for line, row in table.rows:
        cells = [cell.strip() for cell in row]
        wrong = _problem(cells, names)
        if wrong:
            raise ValueError(f"{uri}, line {line}: {wrong}. Received: {','.join(row)}")
        names[int(cells[0])] = cells[1], line
    first = first_class if first_class in names and 0 not in names else 0
    missing = next(index for index in range(first, first + len(names) + 1) if index not in names)
    if missing < first + len(names):
        advice = ". If the labels count from 1 as well, give first_class=1" if {0, *names} == set(range(len(names) + 1)) else ""
        raise ValueError(
            f"{uri}: expected the indices {first} to {first + len(names) - 1} for {len(names)} classes, without a gap. "
            f"Received: no index {missing}, but {max(names)} on line {names[max(names)][1]}{advice}"
        )
    if len(names) < _MIN_CLASSES:
        raise ValueError(
            f"{uri}: expected at least {_MIN_CLASSES} classes. Received: {len(names)}. "
            "Images that show none need a class of their own"
        )
    return [names[index][0] for index in sorted(names)]


def _problem(cells: list[str], names: dict[int, tuple[str, int]]) -> str:
    if len(cells) != len(_COLUMNS):
        return "expected an index and a name; quote a name that contains a comma"
    index, name = cells
    if not (index.isascii() and index.isdigit() and len(index) < 10):
        return "expected a whole number, 0 or higher, as index"
    if not any(character.isalpha() for character in name) or not name.isprintable() or set(name) & set(";|"):
        return "expected a name that contains a letter but no ';', '|' or line break, which separate names"
    if int(index) in names:
        return f"index {int(index)} is already on line {names[int(index)][1]}"
    for other, line in names.values():
        if name.casefold() == other.casefold():
            return f"the name {other} is already on line {line}"
    return ""
