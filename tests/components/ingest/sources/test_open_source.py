from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts.labels import CLASS_NAMES
from components.ingest.sources.folder import Folder
from components.ingest.sources.open_source import open_source
from components.ingest.sources.synthetic import Synthetic


def test_opens_a_folder_by_its_path(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    with open_source(f"dir:{make_folder(tmp_path / 'a:b', {'x': '0'})}", class_names=CLASS_NAMES) as source:
        assert isinstance(source, Folder)
        assert source.uri == str(tmp_path / "a:b")


@pytest.mark.parametrize(("name", "expected"), [("450", Synthetic(450, 0)), ("450@7", Synthetic(450, 7))])
def test_opens_a_synthetic_series_by_its_length_and_number(name: str, expected: Synthetic) -> None:
    with open_source(f"synthetic:{name}", class_names=CLASS_NAMES) as source:
        assert source == expected


def test_a_label_beyond_the_number_of_classes_is_invalid(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    folder = make_folder(tmp_path / "cells", {"w": "0", "x": "2", "y": "3"})
    with open_source(f"dir:{folder}", class_names=["a", "b", "c"]) as source:
        (_, x, y) = source.listed()
    assert (x.reason, "from 0 to 2" in y.reason) == ("", True)


def test_names_a_missing_folder(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(FileNotFoundError, match=str(missing)), open_source(f"dir:{missing}", class_names=CLASS_NAMES):
        pass


@pytest.mark.parametrize("source", ["", "ftp:x", "cells", "kagle:x"])
def test_refuses_another_kind_of_source(source: str) -> None:
    expected = f"Expected the source kaggle:<competition>, dir:<folder> or synthetic:.* Received: source={source}$"
    with pytest.raises(ValueError, match=expected), open_source(source, class_names=CLASS_NAMES):
        pass
