"""The classes file: the names of a user's own classes."""

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.csv_rows import read_rows

_COLUMNS = ["index", "name"]
_MIN_CLASSES = 2


def class_names_of(uri: str) -> list[str]:
    """The names of the classes, by index: those in a CSV file, or the competition's 28 where none is named.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not give each index from 0 on one name of its own.
    """
    if not uri:
        return list(CLASS_NAMES)
    if not storage.exists(uri):
        raise FileNotFoundError(f"classes: there is no file {uri}")
    names: dict[int, tuple[str, int]] = {}
    for line, row in read_rows(storage.read_bytes(uri), uri, _COLUMNS):
        cells = [cell.strip() for cell in row]
        wrong = _problem(cells, names)
        if wrong:
            raise ValueError(f"{uri}, line {line}: {wrong}. Received: {','.join(row)}")
        names[int(cells[0])] = cells[1], line
    missing = next(index for index in range(len(names) + 1) if index not in names)
    if missing < len(names):
        raise ValueError(
            f"{uri}: expected the indices 0 to {len(names) - 1} for {len(names)} classes, without a gap. "
            f"Received: no index {missing}, but {max(names)} on line {names[max(names)][1]}"
        )
    if len(names) < _MIN_CLASSES:
        raise ValueError(
            f"{uri}: expected at least {_MIN_CLASSES} classes. Received: {len(names)}. "
            "Images that show none need a class of their own"
        )
    return [names[index][0] for index in range(len(names))]


def _problem(cells: list[str], names: dict[int, tuple[str, int]]) -> str:
    if len(cells) != len(_COLUMNS):
        return "expected an index and a name; a name with a comma stands in quotes"
    index, name = cells
    if not (index.isascii() and index.isdigit() and len(index) < 10):
        return "expected a whole number from 0 on as index"
    if not any(character.isalpha() for character in name) or not name.isprintable() or set(name) & set(";|"):
        return "expected a name with a letter in it, and without ';', '|' and line breaks, which separate names"
    if int(index) in names:
        return f"index {int(index)} is on line {names[int(index)][1]} already"
    for other, line in names.values():
        if name.casefold() == other.casefold():
            return f"the name {other} is on line {line} already"
    return ""
