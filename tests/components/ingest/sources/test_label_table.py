import re
from collections.abc import Callable
from typing import Any

import pytest

from components.artifacts.image_names import ImageNames
from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.label_table import LabelTable, read_labels
from components.ingest.sources.source import Listed
from tests.components.ingest.workbooks import make_workbook

ReadText = Callable[[bytes], list[Listed]]
_CLASSES = ["nucleus", "membrane", "cytoplasm"]


@pytest.fixture
def read_text() -> ReadText:
    """Reads these bytes as a table for 28 classes."""
    return lambda data: read_labels(data, "cells/train.csv", CLASS_NAMES)


def _read(text: str, **options: Any) -> list[Listed]:
    return read_labels(text.encode(), "cells/train.csv", _CLASSES, LabelTable(**options))


@pytest.mark.parametrize(
    "data",
    [
        b"Id,Target\na,16 0\nb,1\n",
        b"Id,Target\na,16 0\nb,1",
        b"\xef\xbb\xbfId,Target\r\na,16 0\r\nb,1\r\n",
        b"Id,Target\ra,16 0\rb,1\r",
        b'"Id","Target"\n"a","16 0"\n"b","1"\n',
        b"Id, Target\n a ,0  16\n\nb,1 \n\n",
        b"\xef\xbb\xbfId;Target\r\na;16 0\r\nb;1\r\n",
        b"Id\tTarget\na\t0|16\nb\t1\n",
        b"Id,Target\na,0;16\nb,Nuclear Membrane\n,\n",
        b"Id,Target\na,Cytokinetic bridge; nucleoplasm \nb,Nuclear membrane\n",
        b"Id,Target\na,16 0,\nb,1,,\n",
        "Id,Target\na,16 0\nb,1\n".encode("utf-16"),
        make_workbook(train=[["Id", "Target"], ["a", "16 0"], ["b", 1]]),
        b"ID,Label\na,16 0\nb,1\n",
        b"target,image_id\n16 0,a\n1,b\n",
        b"File Name,CLASSES\na_green.png,16 0\nb_green.png,1\n",
    ],
)
def test_labels_are_read_in_all_usual_forms(read_text: ReadText, data: bytes) -> None:
    assert read_text(data) == [Listed("a", (0, 16)), Listed("b", (1,))]


def test_the_detected_layout_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        _read("Image;Plate;Label\na;P1;0\n", group_column="Plate")
        _read("Id,Nucleus,Membrane,Cytoplasm\na,0,1,0\n")
    assert caplog.messages == [
        "cells/train.csv: 1 row (UTF-8, separated by semicolons); ids in the column Image, labels in Label, groups in Plate",
        "cells/train.csv: 1 row (UTF-8, separated by commas); ids in the column Id, labels in a column for each class",
    ]


def test_other_columns_are_kept() -> None:
    rows = "Plate,Id,Target,Comment,,Comment\nP1,a,0,ok,x,y\n,b,1,,,\n"
    assert _read(rows) == [Listed("a", (0,), columns={"Plate": "P1", "Comment": "ok"}), Listed("b", (1,))]


def test_columns_may_be_named() -> None:
    columns = {"id_column": "field", "label_column": "Seen", "group_column": "plate"}
    assert _read("Id,Field,Target,Seen,Plate\n1,a,x,0,P1\n", **columns) == [
        Listed("a", (0,), "", "P1", {"Id": "1", "Target": "x", "Plate": "P1"})
    ]


def test_an_exact_column_name_wins_over_one_that_differs_in_case() -> None:
    assert _read("ID,Id,Target\nx,a,0\n", id_column="Id") == [Listed("a", (0,), columns={"ID": "x"})]


def test_labels_may_be_a_column_of_0_and_1_for_each_class() -> None:
    listed = _read("Id,CYTOPLASM,nucleus,Membrane,Plate\na,1,1,0,P1\nb,0.0,FALSE,True,P1\nc,0,0,0,P1\nd,2,0,1,P1\n")
    assert [row.labels for row in listed] == [(0, 2), (1,), (), ()]
    assert listed[0].columns == {"Plate": "P1"}
    assert [row.reason for row in listed[2:]] == [
        "no class has a 1. Images that show none of the classes need a class of their own (train.csv, line 4)",
        "expected 0 or 1 in the column cytoplasm. Received: '2' (train.csv, line 5)",
    ]


@pytest.mark.parametrize(
    ("header", "expected", "received"),
    [
        ("Target,Plate", "a column of ids, called id, image, image id", "the columns Target, Plate. If .* give id_column"),
        ("Id,Plate", "a column of labels, called target, targets, label", "the columns Id, Plate. If .* give label_column"),
        (
            "Id,nucleus,membrane",
            "a column of labels, called target, targets, label, labels, class or classes, or one of 0 and 1 for each class "
            "(there is none for cytoplasm)",
            "the columns Id, nucleus, mem",
        ),
        ("", "a column of ids", "an empty file"),
    ],
)
def test_a_table_without_ids_or_labels_is_refused(header: str, expected: str, received: str) -> None:
    with pytest.raises(ValueError, match=rf"train\.csv, line 1: expected {re.escape(expected)}.* Received: {received}"):
        _read(header and f"{header}\na,0\n")


def test_a_missing_named_column_is_refused() -> None:
    for parameter in ("id_column", "label_column", "group_column"):
        with pytest.raises(ValueError, match=rf"the column Well, which {parameter} names. Received: the columns Id, Target"):
            _read("Id,Target\na,0\n", **{parameter: "Well"})


def test_ambiguous_columns_are_refused() -> None:
    with pytest.raises(ValueError, match=r"with a name such as id\. Received: Id and Image\. Choose one: id_column=Id$"):
        _read("Id,Image,Target\na,b,0\n")


def test_labels_that_seem_to_count_from_1_are_refused_with_advice() -> None:
    rows = "Id,Target\na,1 2\nb,3\n"
    with pytest.raises(
        ValueError, match=r"from 1 to 3, and the 3 classes .* 0 to 2\. If so, give first_class=1\. If not, see line 3$"
    ):
        _read(rows)
    assert [row.labels for row in _read(rows, first_class=1)] == [(0, 1), (2,)]


@pytest.mark.parametrize("rows", ["a,0\nb,3\n", "a,1\nb,2\n", "a,1\nb,4\n", "a,nucleus\nb,membrane\n"])
def test_other_numbers_do_not_seem_to_count_from_1(rows: str) -> None:
    assert len(_read(f"Id,Target\n{rows}")) == 2


@pytest.mark.parametrize(
    ("row", "sample_id", "reason"),
    [
        (b"b,", "b", "Target is empty"),
        (b"b,28", "b", "Target names an unknown class: expected indices from 0 to 27. Received: '28'"),
        (b"b,x", "b", "Received: 'x'"),
        (b"b,Nucleolus", "b", "separated by ';'. Received: 'Nucleolus'. Did you mean 'Nucleoli'?"),
        (b'b,"Nucleoli,Cytosol"', "b", "Received: 'Nucleoli,Cytosol'"),
        (b"b", "b", "its row has 1 column: expected 2, Id, Target"),
        (b"b,1,2", "b", "its row has 3 columns: expected 2. If semicolons or commas separate"),
        (rb"plate1\b,1", r"plate1\b", r"Id has a backslash: expected '/' between folders. Received: 'plate1\\b'"),
        (b"../b,1", "../b", "begins with a dot: hidden files are not read. Received: '../b'"),
        (b"/etc/b,1", "/etc/b", "has a part that is empty"),
        (b",1", "", "Id is empty"),
        (
            b'"b\nc",1',
            "b\nc",
            r"character U+000A (a control character), which cannot be seen: remove it. Received: 'b\nc'",
        ),
        (b"b\0,1", "b\0", "Id has the character U+0000"),
    ],
)
def test_invalid_rows_are_returned_with_a_reason(read_text: ReadText, row: bytes, sample_id: str, reason: str) -> None:
    first, wrong, last = read_text(b"Id,Target\na,0\n" + row + b"\nz,2\n")
    assert (first, last) == (Listed("a", (0,)), Listed("z", (2,)))
    assert (wrong.sample_id, wrong.labels) == (sample_id, ())
    assert reason in wrong.reason
    assert re.search(r" \(train\.csv, line [34]\)$", wrong.reason)


def test_a_semicolon_between_both_columns_and_classes_is_explained(read_text: ReadText) -> None:
    listed = read_text(b'Id;Target\na;Nucleoli; Cytosol\nb;"Nucleoli; Cytosol"\nc;Nucleoli|Cytosol\n')
    assert "quote labels that contain one, or separate names with '|'" in listed[0].reason
    assert [row.labels for row in listed[1:]] == [(2, 25), (2, 25)]


@pytest.mark.parametrize("data", [b"Id,Target\n", b"Id,Target", b"Id;Target\r\n;\r\n"])
def test_a_table_without_rows_is_refused(read_text: ReadText, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"train\.csv: expected a row for each sample below the columns Id,Target\. "):
        read_text(data)


def test_identical_rows_count_once() -> None:
    assert _read("Id,Target,Note\na,0 1,x\nb,1,\na,1 0,y\nb,membrane,\n") == [
        Listed("a", (0, 1), columns={"Note": "x"}),
        Listed("b", (1,)),
    ]
    assert len(_read("Id,Target\na,nowhere\na,nowhere\n")) == 1


@pytest.mark.parametrize(("first", "second"), [("0,P1", "1,P1"), ("0,P1", "0,P2"), ("0,P1", "9,P1")])
def test_rows_of_an_id_that_differ_become_one_reason_with_both_lines(first: str, second: str) -> None:
    rows = f"Id,Target,Plate\na,{first}\nb,1,P1\na,{second}\n"
    conflicting, good = _read(rows, group_column="Plate")
    assert (
        conflicting.reason == "its row on line 2 has other values. Put all classes of a sample in one row (train.csv, line 4)"
    )
    assert (conflicting.sample_id, conflicting.labels, good.reason) == ("a", (), "")


def test_an_id_may_be_the_name_of_one_of_the_samples_files() -> None:
    names = ImageNames("{id}-{filter}.png", "red=tubulin,green=GFP,blue=DAPI")
    rows = b"file,label\nplate 1/A01-GFP.png,0\nplate 1/A01-DAPI.png,0\nA02,0\n"
    assert read_labels(rows, "t.csv", _CLASSES, image_names=names) == [Listed("plate 1/A01", (0,)), Listed("A02", (0,))]
