from pathlib import Path

import pytest

from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.classes_csv import class_names_of


def _read(tmp_path: Path, data: bytes) -> list[str]:
    path = tmp_path / "classes.csv"
    path.write_bytes(data)
    return class_names_of(str(path))


def test_default_is_the_competitions_classes() -> None:
    assert class_names_of("") == list(CLASS_NAMES)


@pytest.mark.parametrize(
    "data",
    [
        b'index,name\n0,nucleus\n1,"ER, rough"\n',
        b"\xef\xbb\xbfindex;name\r\n1;ER, rough\r\n0;nucleus\r\n",
        b'Index,Name\n0,nucleus\n1,"ER, rough"\n',
        b"index\tname\n0\tnucleus\n\n1\t ER, rough \n",
    ],
)
def test_files_of_spreadsheets_are_read_in_any_order(tmp_path: Path, data: bytes) -> None:
    assert _read(tmp_path, data) == ["nucleus", "ER, rough"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0,nucleus\n1,cytosol\n", r"line 1: expected the columns index,name\. Received: the columns 0, nucleus$"),
        (b"", r"line 1: .* Received: an empty file$"),
        (b"index,name\n0,nucleus\n2,cytosol\n", r"expected the indices 0 to 1 .* Received: no index 1, but 2 on line 3$"),
        (
            b"index,name\n1,nucleus\n2,cytosol\n",
            r"expected the indices 0 to 1 .* but 2 on line 3\. If the labels count from 1 as well, give first_class=1$",
        ),
        (b"index,name\n0,nucleus\n0,cytosol\n", r"line 3: index 0 is already on line 2\. Received: 0,cytosol$"),
        (b"index,name\n0,nucleus\n1,Nucleus\n", r"line 3: the name nucleus is already on line 2\. Received: 1,Nucleus$"),
        (
            b"index,name\n0,nucleus\none,cytosol\n",
            r"line 3: expected a whole number, 0 or higher, as index\. Received: one",
        ),
        (b"index,name\n0,nucleus\n1,\n", r"line 3: expected a name that contains a letter"),
        (b"index,name\n0,nucleus\n1,7\n", r"line 3: expected a name that contains a letter"),
        (b"index,name\n0,nucleus\n1,a;b\n", r"line 3: expected a name that contains a letter but no ';'"),
        (
            b"index,name\n0,nucleus\n1,ER, rough\n",
            r"line 3: expected an index and a name; quote a name that contains a comma",
        ),
        (
            b"index,name\n0,nucleus\n1,caf\x81\n",
            r"line 3: expected text in UTF-8, .* In Excel: Save As, CSV UTF-8",
        ),
        (b"index,name\n0,nucleus\n", r"expected at least 2 classes\. Received: 1\."),
        (b"index,name\n", r"expected at least 2 classes\. Received: 0\."),
    ],
)
def test_errors_give_the_file_the_line_and_the_content(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{tmp_path}/classes\.csv[:,] ?{message}"):
        _read(tmp_path, data)


def test_indices_may_count_from_1_if_the_labels_do(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    for first in (0, 1):
        path.write_text(f"index,name\n{first},nucleus\n{first + 1},cytosol\n")
        assert class_names_of(str(path), first_class=1) == ["nucleus", "cytosol"]


def test_the_parameter_overrides_the_file_in_the_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = f"dir:{tmp_path}"
    assert class_names_of("", source) == list(CLASS_NAMES)
    (tmp_path / "classes.csv").write_text("index,name\n0,nucleus\n1,cytosol\n")
    (tmp_path / "others.csv").write_text("index,name\n0,ER\n1,Golgi\n")
    with caplog.at_level("INFO"):
        assert class_names_of("", source) == ["nucleus", "cytosol"]
    assert f"2 classes from {tmp_path}/classes.csv: nucleus, cytosol" in caplog.text
    assert class_names_of(str(tmp_path / "others.csv"), source) == ["ER", "Golgi"]
    assert class_names_of("", "kaggle:cells") == list(CLASS_NAMES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"classes: there is no file {tmp_path}/classes.csv"):
        class_names_of(str(tmp_path / "classes.csv"))
