from pathlib import Path

import pytest

from components import storage
from components.storage.probe import probe


def test_a_writable_place_is_left_unchanged(bucket_root: str, tmp_path: Path) -> None:
    for root in (bucket_root, str(tmp_path)):
        probe(root)
        assert storage.list_names(root) == []


def test_a_missing_bucket_is_named(bucket_root: str) -> None:
    scheme = bucket_root.partition(":")[0]
    with pytest.raises(FileNotFoundError, match=f"no bucket {scheme}://none-of-this-name"):
        probe(f"{scheme}://none-of-this-name/x")
