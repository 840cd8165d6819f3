from pathlib import Path

import pytest

from components import storage
from components.storage.probe import probe


def test_a_place_that_can_be_written_to_is_left_as_it_was(emulated_root: str, tmp_path: Path) -> None:
    for root in (emulated_root, str(tmp_path)):
        probe(root)
        assert storage.list_names(root) == []


def test_a_bucket_that_is_not_there_is_named(emulated_root: str) -> None:
    with pytest.raises(FileNotFoundError, match="no bucket gs://none-of-this-name"):
        probe("gs://none-of-this-name/x")
