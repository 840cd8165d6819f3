import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.sources.folder import Folder
from components.ingest.sources.source import Listed
from components.shared.labels import FILTERS

MakeFolder = Callable[..., Path]


def _read(source: Folder, sample_id: str) -> dict[str, bytes]:
    images = [image for chunk in source.chunks() for image in chunk if image.sample_id == sample_id]
    return {image.filter: data for image, data in source.read(images)}


class TestFolder:
    def test_lists_the_rows_and_reads_the_files_as_they_are(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
        source = Folder(str(folder), 28)
        assert source.listed() == [Listed("a", (0, 16)), Listed("b", (1,))]
        assert _read(source, "b") == {name: (folder / "train" / f"b_{name}.png").read_bytes() for name in FILTERS}

    def test_may_have_its_images_beside_the_label_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for path in list((folder / "train").iterdir()):
            path.rename(folder / path.name)
        (folder / "train").rmdir()
        assert _read(Folder(str(folder), 28), "a").keys() == set(FILTERS)

    def test_counts_rows_without_any_image_and_leaves_them_out(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2"})
        for name in ("a", "c"):
            for path in (folder / "train").glob(f"{name}_*"):
                path.unlink()
        source = Folder(str(folder), 28)
        assert source.listed() == [Listed("b", (1,))]
        assert source.num_without_files == 2

    def test_says_which_images_have_no_row(
        self, tmp_path: Path, make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2"})
        (folder / "train.csv").write_text("Id,Target\nb,1\n")
        assert Folder(str(folder), 28).listed() == [Listed("b", (1,))]
        assert "2 samples have images, but no row in train.csv: they are left out, such as a" in caplog.text

    def test_has_samples_that_lack_a_filter(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        source = Folder(str(make_folder(tmp_path / "cells", {"a": "0"}, filters=("red", "green"))), 28)
        assert source.listed() == [Listed("a", (0,))]
        assert _read(source, "a").keys() == {"red", "green"}

    def test_keeps_wrong_rows_whether_or_not_they_have_images(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "99"})
        with (folder / "train.csv").open("a") as file:
            file.write("c,99\n")
        source = Folder(str(folder), 28)
        assert [(row.sample_id, bool(row.reason)) for row in source.listed()] == [("a", False), ("b", True), ("c", True)]
        assert source.num_without_files == 0

    def test_takes_no_notice_of_other_files(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for name in ("a_green.jpg", "a_pink.png", "a.png", "_green.png", "z_green.png"):
            (folder / "train" / name).write_bytes(b"")
        (folder / "train" / "b_green.png").mkdir()
        source = Folder(str(folder), 28)
        assert source.listed() == [Listed("a", (0,))]
        assert _read(source, "a").keys() == set(FILTERS)

    def test_without_any_image_is_refused_with_a_file_name_that_would_do(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"}, filters=())
        with pytest.raises(
            ValueError, match=rf"{folder}: none of the 2 samples .*train.csv .*Expected files such as a_green.png"
        ):
            Folder(str(folder), 28)

    def test_whose_label_file_has_no_rows_is_refused(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        with pytest.raises(ValueError, match=r"none of the 0 samples .*<Id>_green.png"):
            Folder(str(make_folder(tmp_path / "cells", {})), 28)

    def test_without_a_label_file_is_refused_with_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/train.csv: expected the label file"):
            Folder(str(tmp_path), 28)

    def test_that_does_not_exist_is_refused_with_its_name(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=str(tmp_path / "nowhere" / "train.csv")):
            Folder(str(tmp_path / "nowhere"), 28)

    def test_has_a_name_of_its_own(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        one, other = (Folder(str(make_folder(tmp_path / place / "cells", {"a": "0"})), 28) for place in "12")
        assert one.name != other.name
        assert one.name.startswith("dir-cells-")
        assert Folder(str(tmp_path / "2" / ".." / "1" / "cells"), 28).name == one.name

    def test_has_a_validator_that_changes_with_any_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        validators = [Folder(str(folder), 28).validator()]
        assert Folder(str(folder), 28).validator() == validators[0]
        image = folder / "train" / "b_yellow.png"
        os.utime(image, ns=(1, 1))
        validators.append(Folder(str(folder), 28).validator())
        os.utime(folder / "train.csv", ns=(2, 2))
        validators.append(Folder(str(folder), 28).validator())
        image.write_bytes(image.read_bytes() + b"more")
        os.utime(image, ns=(1, 1))
        validators.append(Folder(str(folder), 28).validator())
        image.unlink()
        validators.append(Folder(str(folder), 28).validator())
        validators.append(Folder(str(folder), 27).validator())
        assert len(set(validators)) == 6


def test_the_competitions_samples_are_read(hpa_dir: Path) -> None:
    source = Folder(str(hpa_dir), 28)
    listed = source.listed()
    assert len(listed) == 64
    assert source.num_without_files == 31072 - 64
    assert not any(row.reason for row in listed)
    assert _read(source, listed[0].sample_id).keys() == set(FILTERS)
