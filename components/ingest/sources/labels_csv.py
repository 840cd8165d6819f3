"""The label file `train.csv`, read row by row: what is wrong with one row is that sample's reason and stops nothing else."""

import re
from collections.abc import Sequence

from components.ingest.sources.csv_rows import read_rows
from components.ingest.sources.source import Listed
from components.shared.image_names import plain_id
from components.shared.index import at_line
from components.shared.labels import parse_target

LABELS = "train.csv"
_COLUMNS = ["Id", "Target"]
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def read_labels(data: bytes, name: str, class_names: Sequence[str]) -> list[Listed]:
    """Reads train.csv.

    A row that is wrong comes back with its reason, which names the line; of an id that comes twice, one row with the reason.

    Args:
        data: The file's content.
        name: What errors call it.
        class_names: The names of the classes, by index.

    Raises:
        ValueError: If the file is wrong as a whole: its encoding, its columns, or a line that is no CSV.
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
    return [listed for _, listed in rows.values()]


def _parse_row(row: Sequence[str], line: int, class_names: Sequence[str]) -> Listed:
    sample_id = plain_id(row[0].strip())
    try:
        if len(row) != len(_COLUMNS):
            raise ValueError(
                f"its row has {len(row)} columns: expected Id,Target; several classes are separated by ';' or spaces"
            )
        if not _PLAIN_ID.fullmatch(sample_id):
            raise ValueError(
                "Id is no plain name: expected at most 200 letters A to Z, digits, '.', '_', '-', and '/' between folders. "
                f"Received: {row[0].strip()!r}"
            )
        return Listed(sample_id, parse_target(row[1], class_names))
    except ValueError as error:
        return Listed(sample_id, (), at_line(str(error), LABELS, line))
