"""The advice of errors about a folder: following it makes the same call read every row."""

import re
from pathlib import Path
from typing import Any

import pytest

from components.artifacts.parameters import check_parameters
from components.ingest.sources.classes_csv import class_names_of
from components.ingest.sources.label_table import LabelTable
from components.ingest.sources.open_source import open_source
from tests.components.ingest.workbooks import make_workbook

Content = str | bytes
_CLASSES = "index,name\n0,nucleus\n1,membrane\n2,cytoplasm\n"
_ROWS = "Id,Target\na,nucleus\nb,cytoplasm\n"


def _write(folder: Path, files: dict[str, Content | None]) -> None:
    for name, content in files.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _read(folder: Path, **parameters: Any) -> None:
    """Reads a folder as ingest does.

    Raises:
        ValueError: With the first reason if a row cannot be used, or if a sample is missing.
        FileNotFoundError: If a table is missing.
    """
    source = f"dir:{folder}"
    check_parameters(source=source, **parameters)
    classes = class_names_of(parameters.pop("classes", ""), source, parameters.get("first_class", 0))
    table = LabelTable(parameters.pop("labels", ""), **parameters)
    with open_source(source, classes, table=table) as opened:
        listed = opened.listed()
    if reasons := [row.reason for row in listed if row.reason]:
        raise ValueError(reasons[0])
    if len(listed) != 2:
        raise ValueError(f"expected 2 samples. Received: {listed}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes, and the images of two samples."""
    cells = tmp_path / "cells"
    cells.mkdir()
    _write(cells, {"classes.csv": _CLASSES, "train.csv": _ROWS})
    for name in "ab":
        for stain in ("red", "green", "blue"):
            (cells / f"{name}_{stain}.png").write_bytes(b"not looked at")
    return cells


def test_the_unchanged_folder_is_read(folder: Path) -> None:
    _read(folder)


@pytest.mark.parametrize(
    ("files", "given", "advice"),
    [
        (
            {"train.csv": None, "train.xlsx": make_workbook(s=[["Id", "Target"], ["a", "nucleus"], ["b", 2]])},
            {},
            {"labels": "train.xlsx"},
        ),
        ({"train.csv": None, "scores.tsv": _ROWS.replace(",", "\t")}, {}, {"labels": "scores.tsv"}),
        ({"all.csv": _ROWS}, {"labels": "al.csv"}, {"labels": "all.csv"}),
        ({"train.csv": "Id,Image,Target\na,1,0\nb,2,1\n"}, {}, {"id_column": "Id"}),
        ({"train.csv": "Id,Label,Class\na,0,x\nb,1,y\n"}, {}, {"label_column": "Label"}),
        ({"train.csv": "Id,Target\na,1\nb,3\n"}, {}, {"first_class": "1"}),
        ({"train.csv": "Id,Target\na,1\nb,2\n", "classes.csv": "index,name\n1,x\n2,y\n"}, {}, {"first_class": "1"}),
    ],
)
def test_giving_the_advised_parameter_suffices(
    folder: Path, files: dict[str, Content | None], given: dict[str, Any], advice: dict[str, str]
) -> None:
    _write(folder, files)
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        _read(folder, **given)
    assert dict(re.findall(r"\b([a-z]+_?[a-z]+)=(\S+?)[.,]?(?= |$)", str(raised.value))) == advice
    typed = {name: int(value) if value.isdigit() else value for name, value in advice.items()}
    _read(folder, **(given | typed))


@pytest.mark.parametrize(
    ("table", "given", "message", "mended", "then"),
    [
        ("Field,Target\na,0\nb,1\n", {}, "If it has another name, give id_column", None, {"id_column": "Field"}),
        ("Id,Found\na,0\nb,1\n", {}, "If it has another name, give label_column", None, {"label_column": "Found"}),
        (
            "Id,Target,Plate\na,0,1\nb,1,2\n",
            {"group_column": "Well"},
            "Received: the columns Id, Target, Plate",
            None,
            {"group_column": "Plate"},
        ),
        (
            b"Id,Target,Note\na,0,\x81\nb,1,\n",
            {},
            "In Excel: Save As, CSV UTF-8",
            b"\xef\xbb\xbfId,Target,Note\na,0,\xc3\xbc\nb,1,\n",
            {},
        ),
        (
            "Id,nucleus,membrane\na,1,0\nb,0,1\n",
            {},
            "there is none for cytoplasm",
            "Id,nucleus,membrane,cytoplasm\na,1,0,0\nb,0,1,0\n",
            {},
        ),
        ("Id,Target\n", {}, "expected a row for each sample below the columns", _ROWS, {}),
        ("Id,Target\na,0\na,1\nb,2\n", {}, "Put all classes of a sample in one row", "Id,Target\na,0;1\nb,2\n", {}),
        (
            "Id;Target\na;nucleus; membrane\nb;2\n",
            {},
            "quote labels that contain one",
            'Id;Target\na;"nucleus; membrane"\nb;2\n',
            {},
        ),
        ("Id;Target\na;nucleus; membrane\nb;2\n", {}, "separate names with '|'", "Id;Target\na;nucleus|membrane\nb;2\n", {}),
        (
            "Id,Target\na\u200b,0\nb,1\n",
            {},
            "U+200B (ZERO WIDTH SPACE), which cannot be seen: remove it",
            "Id,Target\na,0\nb,1\n",
            {},
        ),
        ("Id,Target\na,nucleos\nb,1\n", {}, "Did you mean 'nucleus'", _ROWS, {}),
        ("Id,Target\na,3\nb,0\n", {}, "expected indices from 0 to 2", "Id,Target\na,2\nb,0\n", {}),
        (
            "Id,Target\na,0\nb,2\n",
            {"first_class": 1},
            "expected indices from 1 to 3, as first_class=1 says",
            "Id,Target\na,1\nb,3\n",
            {},
        ),
    ],
)
def test_making_the_advised_change_suffices(
    folder: Path, table: Content, given: dict[str, Any], message: str, mended: Content | None, then: dict[str, Any]
) -> None:
    _write(folder, {"train.csv": table})
    with pytest.raises(ValueError, match=re.escape(message)):
        _read(folder, **given)
    if mended is not None:
        _write(folder, {"train.csv": mended})
    _read(folder, **(given | then))


def test_adding_a_class_for_images_without_one_suffices(folder: Path) -> None:
    header = "Id,nucleus,membrane,cytoplasm"
    for empty, mended in (
        ("Id,Target\na,\nb,1\n", "Id,Target\na,none\nb,1\n"),
        (f"{header}\na,0,0,0\nb,0,1,0\n", f"{header},none\na,0,0,0,1\nb,0,1,0,0\n"),
    ):
        _write(folder, {"classes.csv": _CLASSES, "train.csv": empty})
        with pytest.raises(ValueError, match="Images that show none of the classes need a class of their own"):
            _read(folder)
        _write(folder, {"classes.csv": f"{_CLASSES}3,none\n", "train.csv": mended})
        _read(folder)


def test_giving_ones_own_classes_suffices(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.csv").rename(tmp_path / "mine.csv")
    _write(folder, {"train.csv": "Id,Target\na,cytoplasm\nb,membrane\n"})
    with pytest.raises(ValueError, match="For classes of your own, give the parameter classes"):
        _read(folder)
    _read(folder, classes=str(tmp_path / "mine.csv"))


def test_giving_the_full_path_of_a_table_suffices(folder: Path, tmp_path: Path) -> None:
    (folder / "train.csv").rename(tmp_path / "train.csv")
    with pytest.raises(FileNotFoundError, match=r"There is no table: put one there, or give labels=<file> with its full path"):
        _read(folder)
    _read(folder, labels=str(tmp_path / "train.csv"))


def test_removing_the_second_file_of_a_stain_suffices(folder: Path) -> None:
    (folder / "a_RED.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Two files are the red filter of sample a: .* Rename or remove one"):
        _read(folder)
    (folder / "a_RED.png").unlink()
    _read(folder)


def test_leaving_out_parameters_of_folders_suffices_for_other_sources() -> None:
    with pytest.raises(ValueError, match=r"labels, first_class: not for synthetic sources\. Leave it out"):
        check_parameters(source="synthetic:20", labels="x.csv", first_class=1)
    check_parameters(source="synthetic:20")
    check_parameters(source="dir:x", labels="x.csv", first_class=1)
