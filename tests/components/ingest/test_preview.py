import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from components.ingest.preview import preview
from components.ingest.sources.folder import Folder
from components.ingest.sources.synthetic import Synthetic
from components.shared.labels import CLASS_NAMES


def _num_tiles(page: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(page)) as image:
        return image.width // 206, image.height // 206


def test_the_first_samples_are_shown() -> None:
    assert _num_tiles(preview(Synthetic(5, seed=0), class_names=CLASS_NAMES, by_class=False)) == (5, 1)


def test_each_class_of_a_folder_is_shown_by_its_purest_sample(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    source = Folder(str(make_folder(tmp_path / "cells", {"a": "0 1", "b": "1", "c": "0 2", "d": "0"})), class_names=CLASS_NAMES)
    assert _num_tiles(preview(source, class_names=CLASS_NAMES, by_class=True)) == (3, 1)


def test_a_folder_without_the_three_filters_cannot_be_shown(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    source = Folder(str(make_folder(tmp_path / "cells", {"a": "0"}, filters=("green",))), class_names=CLASS_NAMES)
    with pytest.raises(ValueError, match="No sample has all of the filters red, green, blue"):
        preview(source, class_names=CLASS_NAMES, by_class=False)
