import re
from collections.abc import Callable

import pytest

from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.labels_csv import read_labels
from components.ingest.sources.source import Listed

ReadText = Callable[[bytes], list[Listed]]


@pytest.fixture
def read_text() -> ReadText:
    """Reads a label file of these bytes, for 28 classes."""
    return lambda data: read_labels(data, "cells/train.csv", CLASS_NAMES)


class TestLabels:
    @pytest.mark.parametrize(
        "data",
        [
            b"Id,Target\na,16 0\nb,1\n",
            b"Id,Target\na,16 0\nb,1",
            b"\xef\xbb\xbfId,Target\na,16 0\nb,1\n",
            b"Id,Target\r\na,16 0\r\nb,1\r\n",
            b"\xef\xbb\xbfId,Target\r\na,16 0\r\nb,1\r\n",
            b"Id,Target\ra,16 0\rb,1\r",
            b'"Id","Target"\n"a","16 0"\n"b","1"\n',
            b"Id, Target\n a ,0  16\n\nb,1 \n\n",
            b"\xef\xbb\xbfId;Target\r\na;16 0\r\nb;1\r\n",
            b"Id\tTarget\na\t0|16\nb\t1\n",
            b"Id,Target\na,0;16\nb,Nuclear Membrane\n,\n",
            b"Id,Target\na,Cytokinetic bridge; nucleoplasm \nb,Nuclear membrane\n",
        ],
    )
    def test_are_read_as_editors_and_spreadsheets_write_them(self, read_text: ReadText, data: bytes) -> None:
        assert read_text(data) == [Listed("a", (0, 16)), Listed("b", (1,))]

    @pytest.mark.parametrize(
        ("header", "received"),
        [
            (b"id,target", "id,target"),
            (b"Id;Labels", "Id;Labels"),
            (b"image", "image"),
            (b"Id,Target,Predicted", "Id,Target,Predicted"),
            (b"Target,Id", "Target,Id"),
            (b"", "an empty file"),
        ],
    )
    def test_with_other_columns_are_refused_as_a_whole(self, read_text: ReadText, header: bytes, received: str) -> None:
        with pytest.raises(ValueError, match=rf"train\.csv, line 1: expected the columns Id,Target\. Received: {received}$"):
            read_text(header and header + b"\na,0\n")

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("before", [b"", b"b"])
    def test_in_another_encoding_are_refused_with_the_line(
        self, read_text: ReadText, mark: bytes, end: bytes, before: bytes
    ) -> None:
        data = mark + b"Id,Target" + end + b"a,0" + end + before + b"\xe9,1" + end
        with pytest.raises(ValueError, match=r"train\.csv, line 3: expected text in UTF-8\. Received: byte 0xe9\. In Excel: "):
            read_text(data)

    def test_in_utf_16_are_refused(self, read_text: ReadText) -> None:
        with pytest.raises(ValueError, match=r"train\.csv, line 1: expected text in UTF-8\. Received: byte 0xff"):
            read_text("Id,Target\na,0\n".encode("utf-16"))

    def test_with_a_quote_that_never_ends_are_refused_with_the_line(self, read_text: ReadText) -> None:
        with pytest.raises(ValueError, match=r"train\.csv, line 3: not CSV"):
            read_text(b'Id,Target\na,0\nb,"1\n')

    @pytest.mark.parametrize(
        ("row", "sample_id", "reason"),
        [
            (b"b,", "b", "Target is empty"),
            (b"b,28", "b", "Target names an unknown class: expected indices from 0 to 27. Received: '28'"),
            (b"b,x", "b", "Received: 'x'"),
            (b"b,Nucleolus", "b", "separated by ';'. Received: 'Nucleolus'. Did you mean 'Nucleoli'?"),
            (b'b,"Nucleoli,Cytosol"', "b", "Received: 'Nucleoli,Cytosol'"),
            (b"b", "b", "its row has one column: expected 2, Id and Target"),
            (b"b,1,2", "b", "its row has 3 columns: expected 2, Id and Target. Where a semicolon or comma separates"),
            (rb"plate1\b,1", r"plate1\b", r"Id has a backslash: expected '/' between folders. Received: 'plate1\\b'"),
            (b"../b,1", ".._b", "Received: '../b'"),
            (b"b" * 201 + b",1", "b" * 201, "Id is no plain name: expected at most 200 letters A to Z"),
            (b"/etc/b,1", "_etc_b", "Id is no plain name"),
            (b".b,1", ".b", "Id is no plain name"),
            (b",1", "", "Id is no plain name"),
            ("\u00e9,1".encode(), "\u00e9", "Id is no plain name"),
            (b'"b\nc",1', "b\nc", "Id is no plain name"),
            (b"b\0,1", "b\0", "Id is no plain name"),
        ],
    )
    def test_wrong_rows_come_back_with_their_reason(self, read_text: ReadText, row: bytes, sample_id: str, reason: str) -> None:
        first, wrong, last = read_text(b"Id,Target\na,0\n" + row + b"\nz,2\n")
        assert (first, last) == (Listed("a", (0,)), Listed("z", (2,)))
        assert (wrong.sample_id, wrong.labels) == (sample_id, ())
        assert reason in wrong.reason
        assert re.search(r" \(train\.csv, line [34]\)$", wrong.reason)

    def test_a_semicolon_that_separates_columns_and_classes_is_told_with_what_helps(self, read_text: ReadText) -> None:
        listed = read_text(b'Id;Target\na;Nucleoli; Cytosol\nb;"Nucleoli; Cytosol"\nc;Nucleoli|Cytosol\n')
        assert "a Target that has one in it stands in quotes, or names are separated by '|'" in listed[0].reason
        assert [row.labels for row in listed[1:]] == [(2, 25), (2, 25)]

    @pytest.mark.parametrize("data", [b"Id,Target\n", b"Id,Target", b"Id;Target\r\n;\r\n"])
    def test_without_any_row_are_refused_as_a_whole(self, read_text: ReadText, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"train\.csv: expected a row for each sample below the columns Id,Target\. "):
            read_text(data)

    def test_an_id_that_comes_twice_is_one_wrong_row_that_names_both_lines(self, read_text: ReadText) -> None:
        assert read_text(b"Id,Target\na,0\nb,1\na,0\n") == [
            Listed("a", (), "it has a row already, line 2 (train.csv, line 4)"),
            Listed("b", (1,)),
        ]

    def test_ids_in_folders_are_plain_names_from_then_on(self, read_text: ReadText) -> None:
        assert read_text(b"Id,Target\nplate 1/A01,0\n") == [Listed("plate_1_A01", (0,))]
