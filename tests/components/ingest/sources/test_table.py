import codecs

import pytest

from components.ingest.sources.table import read_table
from tests.components.ingest.workbooks import make_workbook

_TEXT = "Id\tName\nä\tNucleoli\n"


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (_TEXT.encode(), "UTF-8"),
        (codecs.BOM_UTF8 + _TEXT.encode(), "UTF-8"),
        (_TEXT.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + _TEXT.encode("utf-16-be"), "UTF-16"),
        (_TEXT.encode("utf-16-le"), "UTF-16"),
        (_TEXT.encode("utf-16-be"), "UTF-16"),
        (_TEXT.encode("cp1252"), "Windows-1252, as it is not UTF-8"),
        (_TEXT.replace("ä", "a\u0308").encode(), "UTF-8"),  # normal form D
    ],
)
def test_the_encoding_is_detected_and_reported(data: bytes, form: str) -> None:
    table = read_table(data, "t.csv")
    assert (table.form, table.header, table.rows) == (f"{form}, separated by tabs", ["Id", "Name"], [(2, ["ä", "Nucleoli"])])


@pytest.mark.parametrize(
    ("text", "form", "header"),
    [
        ("Id,Target\n", "commas", ["Id", "Target"]),
        ("Id;Target\n", "semicolons", ["Id", "Target"]),
        ('Id;"ER, rough";Plate\n', "semicolons", ["Id", "ER, rough", "Plate"]),
        ("Id;ER, rough;Plate\n", "semicolons", ["Id", "ER, rough", "Plate"]),
        ("Id\tTarget, all\tPlate\n", "tabs", ["Id", "Target, all", "Plate"]),
        ("\n\nId, Target\n", "commas", ["Id", "Target"]),
        ("Id\n", "commas", ["Id"]),
        ("", "commas", []),
    ],
)
def test_the_separator_is_the_one_that_gives_the_most_columns(text: str, form: str, header: list[str]) -> None:
    table = read_table(text.encode(), "t.csv")
    assert (table.form, table.header) == (f"UTF-8, separated by {form}", header)


def test_rows_have_line_numbers_and_empty_ones_are_skipped() -> None:
    for end in (b"\n", b"\r\n", b"\r"):
        data = b'\nId,Target\n\n,\na,"0\n1"\nb,2\n'.replace(b"\n", end)
        assert read_table(data, "t.csv").rows == [(6, ["a", "0\n1"]), (7, ["b", "2"])]


def test_the_first_sheet_of_a_workbook_is_read_with_line_numbers() -> None:
    sheet = [["Id", "Target"], [None, None], ["a", 16], ["ü b", "0; 1"], [7.5, True]]
    table = read_table(make_workbook(plates=sheet, notes=[["x"]]), "t.xlsx")
    assert table.form == "the sheet plates, the first of 2"
    assert table.header == ["Id", "Target"]
    assert table.rows == [(3, ["a", "16"]), (4, ["ü b", "0; 1"]), (5, ["7.5", "True"])]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_another_encoding_is_refused_with_the_line(mark: bytes, end: bytes) -> None:
    data = mark + b"Id,Target" + end + b"a,0" + end + b"b\x81,1" + end
    with pytest.raises(ValueError, match=r"t\.csv, line 3: expected text in UTF-8, UTF-16 or .* byte 0x81\. In Excel: "):
        read_table(data, "t.csv")


def test_text_that_is_not_csv_is_refused_with_the_line() -> None:
    with pytest.raises(ValueError, match=r"t\.csv, line 3: not CSV"):
        read_table(b'Id,Target\na,0\nb,"1\n', "t.csv")


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04 and nothing else", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 as of a file with a password"]
)
def test_an_unreadable_workbook_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"t\.xlsx: expected a table that Excel can open, without a password"):
        read_table(data, "t.xlsx")


def test_columns_are_found_in_any_case_and_spacing() -> None:
    table = read_table(b"image_ID,File-Name,well,IMAGE id\n", "t.csv")
    assert table.find(["image id"]) == [0, 3]
    assert table.find(["filename", "Well"]) == [1, 2]
