import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from components.artifacts.image_names import ALL_CHANNELS, ImageNames
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.ingest.sources.folder import Folder
from components.ingest.sources.label_table import LabelTable
from components.ingest.sources.source import Listed
from tests.components.images.tiffs import make_ome_tiffs
from tests.components.ingest.workbooks import make_workbook

MakeFolder = Callable[..., Path]


def _read(source: Folder, sample_id: str) -> dict[str, bytes]:
    images = [image for chunk in source.chunks() for image in chunk if image.sample_id == sample_id]
    return {image.filter: data for image, data in source.read(images)}


class TestFolder:
    def test_lists_the_rows_and_reads_the_files_unchanged(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
        source = Folder(str(folder), CLASS_NAMES)
        assert source.listed() == [Listed("a", (0, 16)), Listed("b", (1,))]
        assert _read(source, "b") == {name: (folder / "train" / f"b_{name}.png").read_bytes() for name in FILTERS}

    def test_may_have_images_beside_the_label_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for path in list((folder / "train").iterdir()):
            path.rename(folder / path.name)
        (folder / "train").rmdir()
        assert _read(Folder(str(folder), CLASS_NAMES), "a").keys() == set(FILTERS)

    def test_counts_rows_without_any_image_and_leaves_them_out(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2"})
        for name in ("a", "c"):
            for path in (folder / "train").glob(f"{name}_*"):
                path.unlink()
        source = Folder(str(folder), CLASS_NAMES)
        assert source.listed() == [Listed("b", (1,))]
        assert source.num_without_files == 2

    def test_warns_of_images_without_a_row(
        self, tmp_path: Path, make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "2"})
        (folder / "train.csv").write_text("Id,Target\nb,1\n")
        assert Folder(str(folder), CLASS_NAMES).listed() == [Listed("b", (1,))]
        assert "left out 2 samples with images but without a row in train.csv, such as a" in caplog.text

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_finds_files_with_names_in_either_unicode_form(
        self, tmp_path: Path, make_folder: MakeFolder, form: Literal["NFC", "NFD"]
    ) -> None:
        own, other = (
            unicodedata.normalize(form, "f\u00fcr (1)"),
            unicodedata.normalize("NFD" if form == "NFC" else "NFC", "f\u00fcr (1)"),
        )
        folder = make_folder(tmp_path / "cells", {own: "0"})
        (folder / "train.csv").write_text(f"Id,Target\n{other},0\n", encoding="utf-8")
        source = Folder(str(folder), CLASS_NAMES)
        assert source.listed() == [Listed("f\u00fcr (1)", (0,))]
        assert _read(source, "f\u00fcr (1)")["red"] == (folder / "train" / f"{own}_red.png").read_bytes()

    def test_names_the_character_that_makes_an_id_invalid(
        self, tmp_path: Path, make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b\u200b": "1"})
        (folder / "train.csv").write_text("Id,Target\na,0\n")
        Folder(str(folder), CLASS_NAMES)
        assert r"such as b\u200b" in caplog.text.encode("ascii", "backslashreplace").decode()
        assert "The id 'b\\u200b' has the character U+200B (ZERO WIDTH SPACE), which cannot be seen: remove it" in caplog.text

    def test_keeps_samples_that_lack_a_filter(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        source = Folder(str(make_folder(tmp_path / "cells", {"a": "0"}, filters=("red", "green"))), CLASS_NAMES)
        assert source.listed() == [Listed("a", (0,))]
        assert _read(source, "a").keys() == {"red", "green"}

    def test_keeps_invalid_rows_with_or_without_images(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "99"})
        with (folder / "train.csv").open("a") as file:
            file.write("c,99\n")
        source = Folder(str(folder), CLASS_NAMES)
        assert [(row.sample_id, bool(row.reason)) for row in source.listed()] == [("a", False), ("b", True), ("c", True)]
        assert source.num_without_files == 0

    def test_ignores_other_files(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for name in ("a_green.jpg", "a_pink.png", "a.png", "_green.png", "z_green.png"):
            (folder / "train" / name).write_bytes(b"")
        (folder / "train" / "b_green.png").mkdir()
        source = Folder(str(folder), CLASS_NAMES)
        assert source.listed() == [Listed("a", (0,))]
        assert _read(source, "a").keys() == set(FILTERS)

    def test_without_images_is_refused_with_an_example_of_a_name(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"}, filters=())
        with pytest.raises(ValueError, match=rf"{folder}: no image .* such as <Id>_green.png. Received: no file at all"):
            Folder(str(folder), CLASS_NAMES)

    def test_without_an_image_for_any_row_is_refused(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        (folder / "train.csv").write_text("Id,Target\nb,1\n")
        with pytest.raises(ValueError, match=r"none of the .* Expected files such as b_green.png. Received: .* such as a$"):
            Folder(str(folder), CLASS_NAMES)

    def test_without_a_label_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/train.csv: expected the table of labels. There is no table"):
            Folder(str(tmp_path), CLASS_NAMES)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=str(tmp_path / "nowhere" / "train.csv")):
            Folder(str(tmp_path / "nowhere"), CLASS_NAMES)

    def test_has_a_name_of_its_own(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        one, other = (Folder(str(make_folder(tmp_path / place / "cells", {"a": "0"})), CLASS_NAMES) for place in "12")
        assert one.name != other.name
        assert one.name.startswith("dir-cells-")
        assert Folder(str(tmp_path / "2" / ".." / "1" / "cells"), CLASS_NAMES).name == one.name

    def test_validator_changes_with_any_file(self, tmp_path: Path, make_folder: MakeFolder) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        validators = [Folder(str(folder), CLASS_NAMES).validator()]
        assert Folder(str(folder), CLASS_NAMES).validator() == validators[0]
        image = folder / "train" / "b_yellow.png"
        os.utime(image, ns=(1, 1))
        validators.append(Folder(str(folder), CLASS_NAMES).validator())
        os.utime(folder / "train.csv", ns=(2, 2))
        validators.append(Folder(str(folder), CLASS_NAMES).validator())
        image.write_bytes(image.read_bytes() + b"more")
        os.utime(image, ns=(1, 1))
        validators.append(Folder(str(folder), CLASS_NAMES).validator())
        image.unlink()
        validators.append(Folder(str(folder), CLASS_NAMES).validator())
        validators.append(Folder(str(folder), CLASS_NAMES[:27]).validator())
        assert len(set(validators)) == 6


class TestOwnNames:
    """A folder whose files are named differently from the competition's."""

    NAMES = ImageNames("{id}-{filter}.png", "red=tubulin,green=antibody,blue=DAPI")

    def _make(self, folder: Path, rows: str = "plate1/A01,nucleus\nplate1/A02,cytosol; nucleus\n") -> Path:
        (folder / "plate1").mkdir(parents=True)
        (folder / "train.csv").write_text(f"Id,Target\n{rows}")
        for well in ("A01", "A02"):
            for stain in ("tubulin", "antibody", "dapi"):
                (folder / "plate1" / f"{well}-{stain}.png").write_bytes(f"{well} {stain}".encode())
        return folder

    def test_stains_and_subfolders_are_found_and_labels_may_be_names(self, tmp_path: Path) -> None:
        source = Folder(str(self._make(tmp_path / "cells")), ["nucleus", "cytosol"], image_names=self.NAMES)
        assert source.listed() == [Listed("plate1/A01", (0,)), Listed("plate1/A02", (0, 1))]
        assert _read(source, "plate1/A02") == {"red": b"A02 tubulin", "green": b"A02 antibody", "blue": b"A02 dapi"}

    def test_a_test_set_is_listed_separately(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        (folder / "test").mkdir()
        (folder / "test" / "B01-DAPI.png").write_bytes(b"B01")
        assert Folder(str(folder), ["nucleus", "cytosol"], image_names=self.NAMES).num_unlabelled == 1
        source = Folder(str(folder), ["nucleus", "cytosol"], True, self.NAMES)
        assert _read(source, "B01") == {"blue": b"B01"}

    def test_other_stains_change_the_validator(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        swapped = ImageNames("{id}-{filter}.png", "green=tubulin,red=antibody,blue=DAPI")
        one, other = (Folder(str(folder), ["nucleus", "cytosol"], image_names=names) for names in (self.NAMES, swapped))
        assert one.validator() != other.validator()

    def test_a_stain_that_no_file_has_is_refused(self, tmp_path: Path) -> None:
        names = ImageNames("{id}-{filter}.png", "red=tubulin,green=antibody,blue=Hoechst")
        with pytest.raises(ValueError, match="expected files of the stain Hoechst, which filters names"):
            Folder(str(self._make(tmp_path / "cells")), ["nucleus"], image_names=names)

    def test_unmatched_file_names_are_refused_with_an_example(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        with pytest.raises(ValueError, match=r"such as <Id>_green\.png\. Received: 6 other files, such as plate1/A02"):
            Folder(str(folder), ["nucleus"])
        for path in (folder / "plate1").iterdir():
            path.rename(path.with_suffix(".tif"))
        with pytest.raises(
            ValueError, match=r"need file_pattern=\{id\}-\{filter\}\.tif, or file_pattern=\{id\}\.tif if each file holds all"
        ):
            Folder(str(folder), ["nucleus"], image_names=self.NAMES)
        names = replace(self.NAMES, pattern="{id}-{filter}.tif")
        assert len(Folder(str(folder), ["nucleus"], image_names=names).listed()) == 2

    def test_the_advised_pattern_finds_files_with_all_channels(self, tmp_path: Path) -> None:
        folder = make_ome_tiffs(tmp_path / "cells", {"a": "nucleus"})
        with pytest.raises(ValueError, match=r"or file_pattern=\{id\}\.ome\.tif if each file holds all stains: see") as raised:
            Folder(str(folder), ["nucleus"])
        pattern = str(raised.value).partition("or file_pattern=")[2].partition(" ")[0]
        source = Folder(str(folder), ["nucleus"], image_names=ImageNames(pattern))
        assert [image.filter for chunk in source.chunks() for image in chunk] == [ALL_CHANNELS]

    def test_unmatched_ids_are_refused_with_examples_of_both(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells", "A01,nucleus\n")
        with pytest.raises(ValueError, match=r"such as A01-antibody\.png\. Received: images of 2 others, such as plate1/A01"):
            Folder(str(folder), ["nucleus"], image_names=self.NAMES)

    def test_missing_classes_parameter_is_an_error(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        with pytest.raises(
            ValueError, match=r"no row .* The first problem: plate1/A01: .* 'nucleus'.* give the parameter classes \(train"
        ):
            Folder(str(folder), CLASS_NAMES, image_names=self.NAMES)

    def test_a_label_file_with_another_name_is_suggested(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        (folder / "train.csv").rename(folder / "labels.csv")
        with pytest.raises(FileNotFoundError, match=r"There is labels\.csv: if it has the labels, give labels=labels\.csv$"):
            Folder(str(folder), ["nucleus"], image_names=self.NAMES)

    def test_the_label_file_may_have_another_name_or_place(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        classes = ["nucleus", "cytosol"]
        listed = Folder(str(folder), classes, image_names=self.NAMES).listed()
        rows = [["Id", "Target"], ["plate1/A01", "nucleus"], ["plate1/A02", "cytosol; nucleus"]]
        for path in (folder / "labels.xlsx", tmp_path / "elsewhere.xlsx"):
            path.write_bytes(make_workbook(labels=rows))
        (folder / "train.csv").unlink()
        for file in ("labels.xlsx", str(tmp_path / "elsewhere.xlsx")):
            source = Folder(str(folder), classes, image_names=self.NAMES, table=LabelTable(file))
            assert source.listed() == listed

    def test_another_layout_of_the_table_changes_the_validator(self, tmp_path: Path) -> None:
        folder = self._make(tmp_path / "cells")
        one, other = (
            Folder(str(folder), ["nucleus", "cytosol"], image_names=self.NAMES, table=table)
            for table in (LabelTable(), LabelTable(group_column="Target"))
        )
        assert one.validator() != other.validator()


def test_the_competitions_samples_are_read(hpa_dir: Path) -> None:
    source = Folder(str(hpa_dir), CLASS_NAMES)
    listed = source.listed()
    assert len(listed) == 64
    assert source.num_without_files == 31072 - 64
    assert not any(row.reason for row in listed)
    assert _read(source, listed[0].sample_id).keys() == set(FILTERS)
