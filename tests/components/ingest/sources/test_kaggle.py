import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from components import storage
from components.artifacts.index import Sample, read_index
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.artifacts.manifest import RawImages
from components.ingest.archive.spool import Spool
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from components.ingest.sources.kaggle import KaggleCompetition
from components.ingest.sources.label_table import LabelTable
from components.ingest.sources.source import Listed, Source
from tests.components.ingest.competition import folder_files, signed_in
from tests.components.ingest.kaggle_server import COMPETITION, KaggleServer
from tests.components.ingest.zip_files import make_zip

MakeFolder = Callable[..., Path]
Files = list[tuple[str, bytes]]
Open = Callable[..., KaggleCompetition]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        yield server


@pytest.fixture
def open_competition(server: KaggleServer, spool: Spool) -> Open:
    """Opens a competition whose archive contains these files."""

    def open_it(files: Iterable[tuple[str, bytes]], include_test: bool = False, method: int = 0) -> KaggleCompetition:
        server.archive.write_bytes(make_zip(files, method))
        return KaggleCompetition(COMPETITION, CLASS_NAMES, spool, include_test)

    return open_it


@pytest.fixture
def cells(tmp_path: Path, make_folder: MakeFolder) -> Path:
    """Two labelled samples, and one in the test set."""
    folder: Path = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
    other: Path = make_folder(tmp_path / "other", {"t": "0"})
    (other / "train").rename(folder / "test")
    return folder


def _read_all(source: Source) -> dict[str, bytes]:
    return {f"{image.stem}.png": data for chunk in source.chunks() for image, data in source.read(chunk)}


def _images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _ingest(source: Source, data_root: Path) -> tuple[RawImages, dict[str, Sample]]:
    version = ingest_images(source, "a source", str(data_root), list(CLASS_NAMES))
    return version, {sample.sample_id: sample for sample in read_index(version.index_uri)}


class TestImages:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("folder", ["", "human-protein-atlas/", "a/b/"])
    def test_images_are_listed_and_read_unchanged(self, cells: Path, open_competition: Open, method: int, folder: str) -> None:
        source = open_competition([(folder + name, data) for name, data in folder_files(cells)], method=method)
        assert source.listed() == [Listed("a", (0, 16)), Listed("b", (1,))]
        assert _read_all(source) == _images(cells / "train")
        assert (source.num_unlabelled, source.num_without_files) == (1, 0)

    @pytest.mark.parametrize("in_folder", [False, True])
    @pytest.mark.parametrize("outer", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    @pytest.mark.parametrize("inner", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_nested_archives_are_read(
        self, cells: Path, open_competition: Open, in_folder: bool, outer: int, inner: int
    ) -> None:
        files = [("train.csv", (cells / "train.csv").read_bytes())]
        for name in ("train", "test"):
            prefix = f"{name}/" if in_folder else ""
            images = [(prefix + image, data) for image, data in _images(cells / name).items()]
            files.append((f"{name}.zip", make_zip(images, inner)))
        source = open_competition(files, method=outer)
        assert source.listed() == [Listed("a", (0, 16)), Listed("b", (1,))]
        assert _read_all(source) == _images(cells / "train")
        assert source.num_unlabelled == 1

    def test_images_may_be_beside_the_label_file(self, cells: Path, open_competition: Open) -> None:
        source = open_competition([(name.removeprefix("train/"), data) for name, data in folder_files(cells)])
        assert _read_all(source) == _images(cells / "train")

    def test_images_are_read_in_the_order_of_their_offsets(self, cells: Path, open_competition: Open) -> None:
        files = folder_files(cells)[::-1]
        images = [image for chunk in open_competition(files).chunks() for image in chunk]
        assert [f"train/{image.stem}.png" for image in images] == [name for name, _ in files if name.startswith("train/")]

    def test_samples_may_lack_some_filters_or_all(self, cells: Path, open_competition: Open, tmp_path: Path) -> None:
        for path in [*(cells / "train").glob("a_*"), cells / "train" / "b_red.png"]:
            path.unlink()
        source = open_competition(folder_files(cells))
        assert (source.listed(), source.num_without_files) == ([Listed("b", (1,))], 1)
        version, samples = _ingest(source, tmp_path / "data")
        assert samples["b"].files.keys() == {"green", "blue", "yellow"}
        assert (version.num_samples, version.num_incomplete, version.num_without_files) == (1, 1, 1)

    def test_files_in_other_folders_and_formats_are_ignored(self, cells: Path, open_competition: Open) -> None:
        others = ["train/a_green.jpg", "train/a_pink.png", "extra/b_green.png", "train/z_green.png", "test/readme.txt"]
        source = open_competition([*folder_files(cells), *((name, b"") for name in others)])
        assert _read_all(source) == _images(cells / "train")
        assert source.num_unlabelled == 1

    def test_images_with_the_same_name_are_refused(self, cells: Path, open_competition: Open) -> None:
        files = [*folder_files(cells), ("a_green.png", b"other")]
        with pytest.raises(ValueError, match=r"two images .* have the same name: train/a_green\.png and a_green\.png$"):
            open_competition(files)


class TestTestSet:
    def test_the_test_set_is_counted_and_left_out(self, cells: Path, open_competition: Open, tmp_path: Path) -> None:
        version, samples = _ingest(open_competition(folder_files(cells)), tmp_path / "data")
        assert samples.keys() == {"a", "b"}
        assert version.num_unlabelled == 1
        assert "1 sample without labels (see include_test)" in version.summary()

    def test_the_test_set_is_in_the_index_on_request(self, cells: Path, open_competition: Open, tmp_path: Path) -> None:
        version, samples = _ingest(open_competition(folder_files(cells), include_test=True), tmp_path / "data")
        assert samples.keys() == {"a", "b", "t"}
        assert (samples["t"].labels, samples["t"].reason, samples["t"].is_usable) == ((), "", False)
        assert (version.num_samples, version.num_bad, version.num_unlabelled) == (3, 0, 1)
        for name in FILTERS:
            stored = storage.read_bytes(storage.join(version.images_uri, samples["t"].files[name].name))
            assert stored == (cells / "test" / f"t_{name}.png").read_bytes()

    def test_a_labelled_sample_in_the_test_set_is_refused(self, cells: Path, open_competition: Open) -> None:
        files = [*folder_files(cells), ("test/a_green.png", b"")]
        with pytest.raises(ValueError, match=r"a is in the test set, but also in train\.csv"):
            open_competition(files, include_test=True)


class TestLabels:
    def test_labels_may_come_from_a_spreadsheet(self, cells: Path, open_competition: Open) -> None:
        (cells / "train.csv").write_bytes(b"\xef\xbb\xbfId,Target\r\na,16 0\r\nb,1\r\n")
        assert open_competition(folder_files(cells)).listed() == [Listed("a", (0, 16)), Listed("b", (1,))]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"id;found\na,0\n", r"line 1: expected a column of labels, .* Received: the columns id, found\."),
            (b"Id,Target\na,0\nb\x81,1\n", r"line 3: expected text in UTF-8, .* Received: byte 0x81\."),
            (b'Id,Target\na,0\nb,"1\n', "line 3: not CSV"),
        ],
    )
    def test_an_invalid_table_of_labels_is_refused_with_its_line(
        self, cells: Path, open_competition: Open, content: bytes, message: str
    ) -> None:
        (cells / "train.csv").write_bytes(content)
        with pytest.raises(ValueError, match=rf"^kaggle-{COMPETITION}/train\.csv, {message}"):
            open_competition(folder_files(cells))

    @pytest.mark.parametrize("folders", [(), ("", "train/")])
    def test_exactly_one_table_of_labels_is_expected(
        self, cells: Path, open_competition: Open, folders: tuple[str, ...]
    ) -> None:
        images = [(name, data) for name, data in folder_files(cells) if name.endswith(".png")]
        labels = [(f"{folder}train.csv", b"Id,Target\na,0\n") for folder in folders]
        with pytest.raises(ValueError, match=r"expected one file train\.csv in the archive\. Received: "):
            open_competition([*images, *labels])

    def test_labels_without_any_images_are_refused(self, cells: Path, open_competition: Open) -> None:
        with pytest.raises(ValueError, match=r"none of the 2 samples of train\.csv has an image here.*such as a_green\.png"):
            open_competition([("train.csv", (cells / "train.csv").read_bytes())])

    def test_invalid_labels_and_images_are_in_the_index_with_a_reason(
        self, tmp_path: Path, make_folder: MakeFolder, open_competition: Open
    ) -> None:
        folder = make_folder(tmp_path / "wrong", dict.fromkeys(("class", "empty", "gif", "good", "none", "twice"), "0"))
        (folder / "train.csv").write_text("Id,Target\nclass,28\nempty,\ngif,1\ngood,0\nnone,3\ntwice,4\ntwice,5\n")
        (folder / "train" / "gif_green.png").write_bytes(b"GIF89a, really")
        (folder / "train" / "none_blue.png").write_bytes(b"")
        version, samples = _ingest(open_competition(folder_files(folder)), tmp_path / "data")
        assert {name: sample.reason for name, sample in samples.items()} == {
            "class": "Target names an unknown class: expected indices from 0 to 27. Received: '28'. "
            "For classes of your own, give the parameter classes (train.csv, line 2)",
            "empty": "Target is empty: expected class indices separated by spaces, such as '16 0', or names separated by ';'. "
            "Images that show none of the classes need a class of their own (train.csv, line 3)",
            "gif": "the green filter is a GIF file: expected PNG, TIFF, OME-TIFF or JPEG",
            "good": "",
            "none": "the blue filter is an empty file",
            "twice": "its row on line 7 has other values. Put all classes of a sample in one row (train.csv, line 8)",
        }
        assert samples["gif"].files.keys() == set(FILTERS) - {"green"}
        assert samples["twice"].files == {}
        assert (version.num_samples, version.num_bad) == (6, 5)
        stored = storage.list_names(version.images_uri)
        assert sorted(stored) == sorted(file.name for sample in samples.values() for file in sample.files.values())


class TestFingerprint:
    @pytest.fixture
    def fingerprint(self, open_competition: Open, tmp_path: Path) -> Callable[..., str]:
        def ingest(files: Files, name: str, include_test: bool = False, method: int = 0) -> str:
            return _ingest(open_competition(files, include_test, method), tmp_path / name)[0].fingerprint

        return ingest

    def test_fingerprint_does_not_depend_on_the_packing(self, cells: Path, fingerprint: Callable[..., str]) -> None:
        files = folder_files(cells)
        images = [(name.removeprefix("train/"), data) for name, data in files if name.startswith("train/")]
        nested = [("train.zip", make_zip(images)), *(file for file in files if not file[0].startswith("train/"))]
        packed = [
            fingerprint(files, "1"),
            fingerprint(files[::-1], "2"),
            fingerprint(files, "3", method=zipfile.ZIP_DEFLATED),
            fingerprint(nested, "4"),
            fingerprint([(f"deep/{name}", data) for name, data in files], "5"),
        ]
        assert set(packed) == {packed[0]}

    @pytest.mark.parametrize("include_test", [False, True])
    def test_fingerprint_equals_that_of_a_folder_with_the_same_content(
        self, cells: Path, fingerprint: Callable[..., str], tmp_path: Path, include_test: bool
    ) -> None:
        folder = Folder(str(cells), CLASS_NAMES, include_test)
        assert fingerprint(folder_files(cells), "1", include_test) == _ingest(folder, tmp_path / "2")[0].fingerprint

    def test_fingerprint_depends_on_the_content(self, cells: Path, fingerprint: Callable[..., str]) -> None:
        seen = [fingerprint(folder_files(cells), "1"), fingerprint(folder_files(cells), "2", include_test=True)]
        (cells / "train" / "a_red.png").write_bytes((cells / "train" / "a_green.png").read_bytes())
        seen.append(fingerprint(folder_files(cells), "3"))
        (cells / "train.csv").write_text("Id,Target\na,16\nb,1\n")
        seen.append(fingerprint(folder_files(cells), "4"))
        assert len(set(seen)) == 4


def test_the_validator_depends_on_the_directory_and_the_request(cells: Path, server: KaggleServer, spool: Spool) -> None:
    server.archive.write_bytes(make_zip(folder_files(cells)))
    first = KaggleCompetition(COMPETITION, CLASS_NAMES, spool)
    server.etag = '"the same archive, uploaded again"'
    assert KaggleCompetition(COMPETITION, CLASS_NAMES, spool).validator() == first.validator()
    others = [
        KaggleCompetition(COMPETITION, CLASS_NAMES[:27], spool),
        KaggleCompetition(COMPETITION, CLASS_NAMES, spool, include_test=True),
        KaggleCompetition(COMPETITION, CLASS_NAMES, spool, table=LabelTable(first_class=1)),
    ]
    (cells / "test" / "t_red.png").write_bytes(b"")
    server.archive.write_bytes(make_zip(folder_files(cells)))
    others.append(KaggleCompetition(COMPETITION, CLASS_NAMES, spool))
    assert len({source.validator() for source in (first, *others)}) == 5


def test_the_artifact_names_licence_and_credit(cells: Path, open_competition: Open, tmp_path: Path) -> None:
    version, _ = _ingest(open_competition(folder_files(cells)), tmp_path / "data")
    for word in ("CC BY-SA", "Human Protein Atlas", f"https://www.kaggle.com/c/{COMPETITION}/rules"):
        assert word in version.metadata()["licence"]
    assert version.uri == str(tmp_path / "data" / "raw" / f"kaggle-{COMPETITION}")
