"""The label file `train.csv`, read row by row: what is wrong with one row is that sample's reason and stops nothing else."""

import csv
import io
import re

from components.ingest.sources.source import Listed
from components.shared.labels import parse_target

_COLUMNS = ["Id", "Target"]
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def read_labels(data: bytes, name: str, num_classes: int) -> list[Listed]:
    """Reads train.csv, in UTF-8 with or without a byte order mark, with any line ends.

    A row that is wrong comes back with its reason; of an id that comes twice, one row with the reason.

    Args:
        data: The file's content.
        name: What errors call it.
        num_classes: The number of classes.

    Raises:
        ValueError: If the file is wrong as a whole: its encoding, its columns, or a line that is no CSV.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b".").splitlines())
        raise ValueError(
            f"{name}, line {line}: expected text in UTF-8. Received: byte 0x{error.object[error.start]:02x}"
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if [column.strip() for column in header] != _COLUMNS:
            raise ValueError(f"{name}, line 1: expected the columns Id,Target. Received: {','.join(header) or 'an empty file'}")
        rows: dict[str, tuple[int, Listed]] = {}
        for row in reader:
            if not row:
                continue
            listed = _parse_row(row, num_classes)
            if listed.sample_id in rows:
                first_line, _ = rows[listed.sample_id]
                reason = f"train.csv names it on line {first_line} and again on line {reader.line_num}"
                rows[listed.sample_id] = first_line, Listed(listed.sample_id, (), reason)
            else:
                rows[listed.sample_id] = reader.line_num, listed
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not CSV: {error}") from None
    return [listed for _, listed in rows.values()]


def _parse_row(row: list[str], num_classes: int) -> Listed:
    sample_id = row[0].strip()
    if len(row) != len(_COLUMNS):
        return Listed(sample_id, (), f"train.csv has {len(row)} columns in its row; expected Id,Target")
    if not _PLAIN_ID.fullmatch(sample_id):
        return Listed(
            sample_id, (), f"Id is no plain name of at most 200 letters, digits, '.', '_' and '-'. Received: {sample_id!r}"
        )
    try:
        return Listed(sample_id, parse_target(row[1], num_classes))
    except ValueError as error:
        return Listed(sample_id, (), str(error))
