from collections.abc import Callable
from pathlib import Path

import pytest

from components.serving.predict.folder import find_images


def _ids(folder: Path) -> list[str]:
    return [sample.sample_id for sample in find_images(str(folder), ["red", "green"]).samples]


def test_samples_are_found_with_the_filters_that_are_wanted(tmp_path: Path) -> None:
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


def test_ids_are_shown_as_given_and_those_of_no_run_have_a_problem(tmp_path: Path) -> None:
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
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=rf"{folder}: expected images such as <Id>_green.png. There are none"):
            find_images(str(folder), ["red"])
