import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.folder import Folder, read_labels
from components.ingest.source import Listed
from components.shared.labels import FILTERS

MakeFolder = Callable[..., Path]
ReadText = Callable[[bytes], list[Listed]]


@pytest.fixture
def read_text(tmp_path: Path) -> ReadText:
    """Reads a label file of these bytes, for 28 classes."""

    def read(data: bytes) -> list[Listed]:
        (tmp_path / "train.csv").write_bytes(data)
        return read_labels(tmp_path / "train.csv", 28)

    return read


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
        ],
    )
    def test_are_read_as_editors_and_spreadsheets_write_them(self, read_text: ReadText, data: bytes) -> None:
        assert read_text(data) == [Listed("a", (0, 16)), Listed("b", (1,))]

    @pytest.mark.parametrize(
        ("header", "received"),
        [
            (b"id,target", "id,target"),
            (b"Id;Target", "Id;Target"),
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
        with pytest.raises(ValueError, match=r"train\.csv, line 3: expected text in UTF-8\. Received: byte 0xe9"):
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
            (b"b", "b", "train.csv has 1 columns in its row"),
            (b"b,1,2", "b", "train.csv has 3 columns in its row"),
            (b"../b,1", "../b", "Id is no plain name of at most 200 letters, digits, '.', '_' and '-'. Received: '../b'"),
            (b"b" * 201 + b",1", "b" * 201, "Id is no plain name of at most 200"),
            (b"/etc/b,1", "/etc/b", "Id is no plain name"),
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

    def test_an_id_that_comes_twice_is_one_wrong_row_that_names_both_lines(self, read_text: ReadText) -> None:
        assert read_text(b"Id,Target\na,0\nb,1\na,0\n") == [
            Listed("a", (), "train.csv names it on line 2 and again on line 4"),
            Listed("b", (1,)),
        ]


class TestFolder:
    def test_lists_the_rows_and_reads_the_files_as_they_are(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
        source = Folder(folder, 28)
        assert source.listed() == [Listed("a", (0, 16)), Listed("b", (1,))]
        assert source.read("b") == {name: (folder / "train" / f"b_{name}.png").read_bytes() for name in FILTERS}

    def test_may_have_its_images_beside_the_label_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for path in list((folder / "train").iterdir()):
            path.rename(folder / path.name)
        (folder / "train").rmdir()
        assert Folder(folder, 28).read("a").keys() == set(FILTERS)

    def test_counts_rows_without_any_image_and_leaves_them_out(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2"})
        for name in ("a", "c"):
            for path in (folder / "train").glob(f"{name}_*"):
                path.unlink()
        source = Folder(folder, 28)
        assert source.listed() == [Listed("b", (1,))]
        assert source.num_without_files == 2

    def test_has_samples_that_lack_a_filter(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        source = Folder(make_folder(tmp_path / "cells", {"a": "0"}, filters=("red", "green")), 28)
        assert source.listed() == [Listed("a", (0,))]
        assert source.read("a").keys() == {"red", "green"}

    def test_keeps_wrong_rows_whether_or_not_they_have_images(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "99"})
        with (folder / "train.csv").open("a") as file:
            file.write("c,99\n")
        source = Folder(folder, 28)
        assert [(row.sample_id, bool(row.reason)) for row in source.listed()] == [("a", False), ("b", True), ("c", True)]
        assert source.num_without_files == 0

    def test_takes_no_notice_of_other_files(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for name in ("a_green.jpg", "a_pink.png", "a.png", "_green.png", "z_green.png"):
            (folder / "train" / name).write_bytes(b"")
        (folder / "train" / "b_green.png").mkdir()
        source = Folder(folder, 28)
        assert source.listed() == [Listed("a", (0,))]
        assert source.read("a").keys() == set(FILTERS)

    def test_without_any_image_is_refused_with_a_file_name_that_would_do(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"}, filters=())
        with pytest.raises(
            ValueError, match=rf"{folder}/train: none of the 2 samples .*train.csv .*Expected files such as a_green.png"
        ):
            Folder(folder, 28)

    def test_whose_label_file_has_no_rows_is_refused(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        with pytest.raises(ValueError, match=r"none of the 0 samples .*<Id>_green.png"):
            Folder(make_folder(tmp_path / "cells", {}), 28)

    def test_without_a_label_file_is_refused_with_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/train.csv: expected the label file"):
            Folder(tmp_path, 28)

    def test_that_does_not_exist_is_refused_with_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=str(tmp_path / "nowhere" / "train.csv")):
            Folder(tmp_path / "nowhere", 28)

    def test_has_a_name_of_its_own(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        one, other = (Folder(make_folder(tmp_path / place / "cells", {"a": "0"}), 28) for place in "12")
        assert one.name != other.name
        assert one.name.startswith("dir-cells-")
        assert Folder(tmp_path / "2" / ".." / "1" / "cells", 28).name == one.name

    def test_has_a_validator_that_changes_with_any_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        validators = [Folder(folder, 28).validator()]
        assert Folder(folder, 28).validator() == validators[0]
        image = folder / "train" / "b_yellow.png"
        os.utime(image, ns=(1, 1))
        validators.append(Folder(folder, 28).validator())
        os.utime(folder / "train.csv", ns=(2, 2))
        validators.append(Folder(folder, 28).validator())
        image.write_bytes(image.read_bytes() + b"more")
        os.utime(image, ns=(1, 1))
        validators.append(Folder(folder, 28).validator())
        image.unlink()
        validators.append(Folder(folder, 28).validator())
        validators.append(Folder(folder, 27).validator())
        assert len(set(validators)) == 6


def test_the_competitions_samples_are_read(hpa_dir: Path) -> None:
    source = Folder(hpa_dir, 28)
    listed = source.listed()
    assert len(listed) == 64
    assert source.num_without_files == 31072 - 64
    assert not any(row.reason for row in listed)
    assert source.read(listed[0].sample_id).keys() == set(FILTERS)
