"""CSV files as people and spreadsheets write them."""

import csv
import io
from collections.abc import Iterator, Sequence


def read_rows(data: bytes, name: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Reads the rows of a table, each with the line that it ends on; empty lines are left out.

    It is UTF-8 with or without a byte order mark, has any line ends, and separates by commas; by semicolons, as spreadsheets do
    where the comma is the decimal sign; or by tabs.

    Args:
        data: The file's content.
        name: What errors call it.
        columns: What the header must be.

    Raises:
        ValueError: If the file is wrong as a whole: its encoding, its columns, or a line that is no CSV.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((error.object[: error.start] + b".").splitlines())
        raise ValueError(
            f"{name}, line {line}: expected text in UTF-8. Received: byte 0x{error.object[error.start]:02x}. "
            "In Excel: Save As, CSV UTF-8"
        ) from None
    first_line = next(iter(text.splitlines()), "")
    delimiter = next((mark for mark in ",;\t" if mark in first_line), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if [column.strip() for column in header] != list(columns):
            raise ValueError(
                f"{name}, line 1: expected the columns {','.join(columns)}. Received: {first_line or 'an empty file'}"
            )
        yield from ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not CSV: {error}") from None
