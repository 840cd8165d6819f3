from pathlib import Path

import pytest

from components import storage
from components.storage.probe import probe


def test_a_place_that_can_be_written_to_is_left_as_it_was(bucket_root: str, tmp_path: Path) -> None:
    for root in (bucket_root, str(tmp_path)):
        probe(root)
        assert storage.list_names(root) == []


def test_a_bucket_that_is_not_there_is_named(bucket_root: str) -> None:
    scheme = bucket_root.partition(":")[0]
    with pytest.raises(FileNotFoundError, match=f"no bucket {scheme}://none-of-this-name"):
        probe(f"{scheme}://none-of-this-name/x")
