import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from components.artifacts.image_names import ImageNames
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.images.decode import Reading
from components.images.grey_levels import to_8_bits
from components.ingest.sources.folder import Folder
from components.preview.prepare import Prepared, cut_tiles, labelled, prepare, unlabelled
from components.preview.preview import preview
from tests.components.images.tiffs import OME_CHANNELS, make_levels, make_ome_tiffs

MakeFolder = Callable[..., Path]
MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]

OME_NAMES = ImageNames("{id}.ome.tif", "red=Tub,green=Ab,blue=DAPI")
READING = Reading(tuple(OME_NAMES.channels.items()), "0:4095", stains=FILTERS)


def _prepare_ome_tiffs(folder: Path, out: Path, tiles: int = 0) -> Prepared:
    return prepare(
        labelled(Folder(str(folder), CLASS_NAMES, image_names=OME_NAMES), CLASS_NAMES), out, READING, tiles, CLASS_NAMES
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _grey_levels(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_a_run_accepts_a_prepared_folder_with_default_parameters(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"plate 1 ä": "0 16", "c": "16"})
    out = tmp_path / "images"
    assert _prepare_ome_tiffs(folder, out) == Prepared(num_samples=2, bad={}, num_blank=0)
    found = preview(Folder(str(out), CLASS_NAMES), CLASS_NAMES, by_class=False)
    assert found.findings[0].startswith("A run would leave out 0 of 2 samples")
    assert [(row["Id"], row["Target"]) for row in _rows(out / "train.csv")] == [
        ("plate 1 ä", "Nucleoplasm; Cytokinetic bridge"),
        ("c", "Cytokinetic bridge"),
    ]
    expected = to_8_bits(make_levels(0)[OME_CHANNELS.index("Tub"), 0], (0, 4095))
    np.testing.assert_array_equal(_grey_levels(out / "train" / "plate 1 ä_red.png"), expected)


def test_tiles_are_samples_that_name_their_field(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"a": "0", "b": "16"})
    out = tmp_path / "images"
    assert _prepare_ome_tiffs(folder, out, tiles=2).num_samples == 8
    rows = _rows(out / "train.csv")
    assert [(row["Id"], row["Target"], row["Field"]) for row in rows[3:5]] == [
        ("a-3", "Nucleoplasm", "a"),
        ("b-0", "Cytokinetic bridge", "b"),
    ]
    whole = to_8_bits(make_levels(0)[OME_CHANNELS.index("DAPI"), 0], (0, 4095))
    np.testing.assert_array_equal(_grey_levels(out / "train" / "a-3_blue.png"), whole[48:, 48:])


@pytest.mark.parametrize(
    ("size", "tiles", "expected"),
    [
        ((100, 320), 1, [(0, 10), (0, 110), (0, 210)]),
        ((320, 100), 1, [(10, 0), (110, 0), (210, 0)]),
        ((100, 100), 2, [(0, 0), (0, 50), (50, 0), (50, 50)]),
        ((101, 101), 1, [(0, 0)]),
    ],
)
def test_tiles_cover_the_middle_of_the_field(size: tuple[int, int], tiles: int, expected: list[tuple[int, int]]) -> None:
    squares = cut_tiles(*size, tiles)
    assert [(rows.start, columns.start) for rows, columns in squares] == expected
    assert {(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in squares} == {(min(size) // tiles,) * 2}


def test_tiles_that_show_nothing_are_left_out_and_counted(tmp_path: Path, make_pixels: MakePixels, make_png: MakePng) -> None:
    for seed, name in enumerate(("red", "green", "blue")):
        pixels = np.hstack([make_pixels(seed, 96), np.zeros((96, 96), np.uint8)])
        (tmp_path / f"a_{name}.png").write_bytes(make_png(pixels))
    done = prepare(unlabelled(str(tmp_path), ImageNames()), tmp_path / "out", Reading(stains=FILTERS), tiles=1)
    assert (done.num_samples, done.num_blank) == (1, 1)


def test_unlabelled_images_are_prepared_too(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0"})
    out = tmp_path / "out"
    assert prepare(unlabelled(str(folder), ImageNames()), out, Reading(stains=FILTERS)).num_samples == 1
    assert _rows(out / "train.csv") == [{"Id": "a"}]
    assert not (out / "classes.csv").exists()


def test_bad_samples_are_listed_with_their_reasons(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1", "c": "99"})
    (folder / "train" / "b_red.png").write_bytes(b"no image")
    out = tmp_path / "out"
    done = prepare(labelled(Folder(str(folder), CLASS_NAMES), CLASS_NAMES), out, Reading(stains=FILTERS))
    assert done.num_samples == 1
    assert [row["Id"] for row in _rows(out / "bad.csv")] == list(done.bad) == ["b", "c"]


def test_nothing_is_left_when_no_sample_can_be_used(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"a": "0"})
    originals = labelled(Folder(str(folder), CLASS_NAMES, image_names=OME_NAMES), CLASS_NAMES)
    with pytest.raises(ValueError, match=r"No image could be used, of 1 sample:\n  a: the red filter is 16-bit"):
        prepare(originals, tmp_path / "out", Reading(READING.channels, stains=FILTERS))
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="already exists"):
        prepare([], tmp_path, Reading())


def test_remains_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"a": "0"})
    unfinished = tmp_path / ".out.unfinished"
    unfinished.mkdir()
    (unfinished / "old.png").write_bytes(b"")
    _prepare_ome_tiffs(folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classes.csv", "train", "train.csv"]
    assert not unfinished.exists()
