"""The label file `train.csv`, read row by row: what is wrong with one row is that sample's reason and stops nothing else."""

import re
from collections.abc import Sequence

from components.artifacts.image_names import plain_id
from components.artifacts.index import at_line
from components.artifacts.labels import parse_target
from components.ingest.sources.csv_rows import read_rows
from components.ingest.sources.source import Listed

LABELS = "train.csv"
_COLUMNS = ["Id", "Target"]
PLAIN_ID = "at most 200 letters A to Z, digits, '.', '_', '-', and '/' between folders"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def read_labels(data: bytes, name: str, class_names: Sequence[str]) -> list[Listed]:
    """Reads train.csv.

    A row that is wrong comes back with its reason, which names the line; of an id that comes twice, one row with the reason.

    Args:
        data: The file's content.
        name: What errors call it.
        class_names: The names of the classes, by index.

    Raises:
        ValueError: If the file is wrong as a whole: its encoding, its columns, a line that is no CSV, or no row at all.
    """
    rows: dict[str, tuple[int, Listed]] = {}
    for line, row in read_rows(data, name, _COLUMNS):
        listed = _parse_row(row, line, class_names)
        if listed.sample_id in rows:
            first_line, _ = rows[listed.sample_id]
            rows[listed.sample_id] = (
                first_line,
                Listed(listed.sample_id, (), at_line(f"it has a row already, line {first_line}", LABELS, line)),
            )
        else:
            rows[listed.sample_id] = line, listed
    if not rows:
        raise ValueError(f"{name}: expected a row for each sample below the columns {','.join(_COLUMNS)}. Received: none")
    return [listed for _, listed in rows.values()]


def _parse_row(row: Sequence[str], line: int, class_names: Sequence[str]) -> Listed:
    sample_id = plain_id(row[0].strip())
    try:
        if len(row) > len(_COLUMNS):
            raise ValueError(
                f"its row has {len(row)} columns: expected 2, Id and Target. Where a semicolon or comma separates the columns, "
                f"a Target that has one in it stands in quotes, or names are separated by '|'"
            )
        if len(row) < len(_COLUMNS):
            raise ValueError("its row has one column: expected 2, Id and Target")
        if "\\" in sample_id:
            raise ValueError(f"Id has a backslash: expected '/' between folders. Received: {row[0].strip()!r}")
        if not _PLAIN_ID.fullmatch(sample_id):
            raise ValueError(f"Id is no plain name: expected {PLAIN_ID}. Received: {row[0].strip()!r}")
        return Listed(sample_id, parse_target(row[1], class_names))
    except ValueError as error:
        return Listed(sample_id, (), at_line(str(error), LABELS, line))
