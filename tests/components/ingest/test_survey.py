from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.survey import Survey, survey
from tests.components.ingest.competition import asked_for
from tests.components.ingest.kaggle_server import COMPETITION, KaggleServer

MakeFolder = Callable[..., Path]


@pytest.fixture
def cells(tmp_path: Path, make_folder: MakeFolder) -> Path:
    """Two labelled samples, and one in the test set."""
    folder: Path = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
    other: Path = make_folder(tmp_path / "other", {"t": "0"})
    (other / "train").rename(folder / "test")
    return folder


def test_a_competition_is_counted_in_its_archives_directory(server: KaggleServer) -> None:
    num_bytes = server.archive.stat().st_size
    assert survey(f"kaggle:{COMPETITION}") == Survey(2, num_bytes)
    assert survey(f"kaggle:{COMPETITION}", include_test=True) == Survey(3, num_bytes)
    server.close()
    assert not [name for name in asked_for(server.archive, server.archive_exchanges) if name.endswith(".png")]


def test_an_archive_that_cannot_be_read_in_ranges_is_not_downloaded(server: KaggleServer) -> None:
    server.accepts_ranges = False
    assert survey(f"kaggle:{COMPETITION}") == Survey(None, server.archive.stat().st_size)


def test_a_folder_and_synthetic_samples_are_counted(cells: Path) -> None:
    num_bytes = sum(path.stat().st_size for path in (cells / "train").iterdir())
    assert survey(f"dir:{cells}") == Survey(2, num_bytes)
    assert survey("synthetic:40") == Survey(40, None)
