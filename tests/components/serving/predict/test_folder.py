from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts.image_names import ImageNames
from components.serving.predict.folder import find_images


def _ids(folder: Path) -> list[str]:
    return [sample.sample_id for sample in find_images(str(folder), ["red", "green"]).samples]


def test_samples_are_found_with_the_requested_filters(tmp_path: Path) -> None:
    for name in ("b_red.png", "a_b_green.png", "a_b_yellow.png", "c_blue.png", "c_pink.png", "c_red.jpg", "train.csv"):
        (tmp_path / name).write_bytes(b"123")
    assert [
        (sample.sample_id, sample.uris, sample.num_bytes) for sample in find_images(str(tmp_path), ["red", "green"]).samples
    ] == [
        ("a_b", {"green": f"{tmp_path}/a_b_green.png"}, 3),
        ("b", {"red": f"{tmp_path}/b_red.png"}, 3),
        ("c", {}, 0),
    ]


def test_in_the_competitions_layout_the_test_set_comes_before_the_training_set(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    cells = make_folder(tmp_path / "cells", {"trained": "0"})
    assert _ids(cells) == ["trained"]
    (cells / "test").mkdir()
    (cells / "test" / "new_red.png").write_bytes(b"")
    assert _ids(cells) == ["new"]
    (cells / "beside_red.png").write_bytes(b"")
    assert _ids(cells) == ["beside"]


def test_ids_are_shown_unchanged_and_invalid_ones_have_a_problem(tmp_path: Path) -> None:
    (tmp_path / "plate 1").mkdir()
    for name in ("plate 1/A01 (2)", "Mu\u0308ller", "a\\b", "c\u200b"):
        (tmp_path / f"{name}_red.png").write_bytes(b"")
    assert {sample.sample_id: sample.problem for sample in find_images(str(tmp_path), ["red"]).samples} == {
        "Müller": "",
        "a\\b": "its id has a backslash: expected '/' between folders",
        "c\u200b": "its id has the character U+200B (ZERO WIDTH SPACE), which cannot be seen: remove it",
        "plate 1/A01 (2)": "",
    }


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"/nowhere: expected a folder of images\. There is no such folder$"):
        find_images(str(tmp_path / "nowhere"), ["red"])
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}: expected images such as <Id>_green.png. There are none"):
        find_images(str(tmp_path), ["red"])
    (tmp_path / "a.ome.tif").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"\. 1 image file with other names, such as a\.ome\.tif: give --file-pattern "
    ) as found:
        find_images(str(tmp_path), ["red"])
    options = '"{id}_{filter}.ome.tif", or --file-pattern "{id}.ome.tif" if each file holds all stains'
    assert str(found.value).endswith(options)
    (tmp_path / "a-red.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"such as a-red\.png: give --file-pattern$"):
        find_images(str(tmp_path), ["red"])


def test_image_files_without_a_sample_are_reported_with_advice(tmp_path: Path) -> None:
    for folder in ("deep", "test", ".cache", "a.zarr/0"):
        (tmp_path / folder).mkdir(parents=True)
    names = (
        "S00_red.png",
        "S01_red.jpg",
        "S02.TIF",
        "S03-red.png",
        "deep/S04_pink.png",
        "S05_red.bmp",
        "a.zarr/0/0",
        "a.zarr/0/1",
    )
    no_images = (
        "train.csv",
        "classes.csv",
        "sample_submission.csv",
        "notes.txt",
        ".S06-red.png",
        ".cache/S07.png",
        "test/S08.png",
    )
    for name in names + no_images:
        (tmp_path / name).write_bytes(b"")
    found = find_images(str(tmp_path), ["red"])
    assert [sample.sample_id for sample in found.samples] == ["S00"]
    other_name = (
        "does not match file_pattern={id}_{filter}.png: rename it, or run predict again with the --file-pattern of such files"
    )
    other_format = "has an unsupported format: convert it to PNG or TIFF"
    assert list(found.ignored.items()) == [
        ("S01_red.jpg", other_name),
        ("S02.TIF", other_name),
        ("S03-red.png", other_name),
        ("S05_red.bmp", other_format),
        ("a.zarr", other_name),
        ("deep/S04_pink.png", other_name),
    ]
    tubulin = ImageNames("{id}-{filter}.png", "red=red,green=green,blue=dapi")
    reason = find_images(str(tmp_path), ["red"], tubulin).ignored["S00_red.png"]
    assert reason.startswith("does not match file_pattern={id}-{filter}.png with filters=red=red,green=green,blue=dapi: ")
