from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.folder import Folder
from components.ingest.sources.open_source import open_source
from components.ingest.sources.synthetic import Synthetic


def test_a_folder_is_opened_by_its_path(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    source = open_source(f"dir:{make_folder(tmp_path / 'a:b', {'x': '0'})}", class_names=CLASS_NAMES)
    assert isinstance(source, Folder)
    assert source.uri == str(tmp_path / "a:b")


def test_a_series_is_opened_by_its_length_and_number() -> None:
    assert open_source("synthetic:450", class_names=CLASS_NAMES) == Synthetic(450, 0)
    assert open_source("synthetic:450@7", class_names=CLASS_NAMES) == Synthetic(450, 7)


def test_a_label_beyond_the_number_of_classes_is_wrong(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    folder = make_folder(tmp_path / "cells", {"w": "0", "x": "2", "y": "3"})
    (_, x, y) = open_source(f"dir:{folder}", class_names=["a", "b", "c"]).listed()
    assert (x.reason, "from 0 to 2" in y.reason) == ("", True)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "nothing")):
        open_source(f"dir:{tmp_path / 'nothing'}", class_names=CLASS_NAMES)


@pytest.mark.parametrize("source", ["", "ftp:x", "cells", "kagle:x"])
def test_another_kind_of_source_is_refused(source: str) -> None:
    with pytest.raises(
        ValueError, match=f"Expected the source kaggle:<competition>, dir:<folder> or synthetic:.* Received: source={source}$"
    ):
        open_source(source, class_names=CLASS_NAMES)
