"""Tables as people, programs and spreadsheets write them: text with separators, in several encodings, and Excel's files."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from python_calamine import CalamineError, CalamineWorkbook

# What Excel's files begin with: .xlsx is a ZIP file, .xls an OLE2 container.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """A table with a header. All text is in Unicode's normal form C, and its line ends are line feeds.

    Attributes:
        name: Its name in errors.
        form: The detected form of the file, such as "UTF-8, separated by commas".
        header_line: The line of the header.
        header: The names of the columns.
        rows: The rows below it, each with the line that it ends on. Empty ones are left out.
    """

    name: str
    form: str
    header_line: int
    header: list[str]
    rows: list[_Row]

    def find(self, names: Collection[str]) -> list[int]:
        """The positions of the columns with one of these names, ignoring case, spaces, `_` and `-`."""
        wanted = {_simple(name) for name in names}
        return [position for position, name in enumerate(self.header) if _simple(name) in wanted]

    def no_such_columns(self, expected: str, advice: str = "") -> ValueError:
        """The error for missing columns."""
        found = f"the columns {', '.join(filter(None, self.header))}" if any(self.header) else "an empty file"
        return ValueError(f"{self.name}, line {self.header_line}: expected {expected}. Received: {found[:500]}{advice}")


def read_table(data: bytes, name: str) -> Table:
    """Reads a table.

    Text is UTF-8, UTF-16 or, if it is neither, Windows-1252, with any line endings. It is separated by commas, semicolons or
    tabs, whichever gives the most columns. Only the first sheet of a workbook is read.

    Args:
        data: The file's content.
        name: Its name in errors.

    Raises:
        ValueError: If it is not a table: an unknown encoding, an invalid line of CSV, or an unreadable workbook.
    """
    form, rows = _workbook(data, name) if data.startswith(_WORKBOOKS) else _text(data, name)
    filled = [(line, list(map(_clean, row))) for line, row in rows if any(cell.strip() for cell in row)]
    header_line, header = filled[0] if filled else (1, [])
    return Table(name, form, header_line, [cell.strip() for cell in header], filled[1:])


def _clean(cell: str) -> str:
    return unicodedata.normalize("NFC", re.sub("\r\n?", "\n", cell))


def _simple(name: str) -> str:
    return re.sub(r"[ _-]", "", name).casefold()


def _text(data: bytes, name: str) -> tuple[str, list[_Row]]:
    encoding, text = _decode(data, name)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(_SEPARATORS, key=lambda mark: len(next(csv.reader([first], delimiter=mark))) if first else 0)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return f"{encoding}, separated by {_SEPARATORS[separator]}", [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: not CSV: {error}") from None


def _decode(data: bytes, name: str) -> tuple[str, str]:
    """The encoding, in words, and the text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        tried = {"UTF-16": "utf-16"}
    elif 0 in data[:2]:  # in UTF-16, every other byte of ASCII letters is 0
        tried = {"UTF-16": "utf-16-be" if data[0] == 0 else "utf-16-le"}
    elif data.startswith(codecs.BOM_UTF8):
        tried = {"UTF-8": "utf-8-sig"}
    else:
        tried = {"UTF-8": "utf-8", "Windows-1252, as it is not UTF-8": "cp1252"}
    for words, encoding in tried.items():
        try:
            return words, data.decode(encoding)
        except UnicodeDecodeError as error:
            wrong = error
    line = len((wrong.object[: wrong.start].decode(encoding, "ignore") + ".").splitlines())
    raise ValueError(
        f"{name}, line {line}: expected text in UTF-8, UTF-16 or Windows-1252. "
        f"Received: byte 0x{wrong.object[wrong.start]:02x}. In Excel: Save As, CSV UTF-8"
    )


def _workbook(data: bytes, name: str) -> tuple[str, list[_Row]]:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
        rows = workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except CalamineError as error:
        raise ValueError(f"{name}: expected a table that Excel can open, without a password. Received: {error}") from None
    sheets = workbook.sheet_names
    of_several = f", the first of {len(sheets)}" if len(sheets) > 1 else ""
    return f"the sheet {sheets[0]}{of_several}", [(line, list(map(_cell, row))) for line, row in enumerate(rows, 1)]


def _cell(value: object) -> str:
    """A cell as Excel shows it: Excel stores whole numbers as decimals."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
