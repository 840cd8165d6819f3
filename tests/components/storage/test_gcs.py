import os
from pathlib import Path

import pytest

from components import storage
from components.storage import gcs as gcs_storage
from components.storage.store import StoredFile

_DATA = bytes(range(256)) * 400
_LARGE_BYTES = 9 << 20  # uploaded differently from smaller files


def test_files_round_trip_through_the_emulator(emulated_root: str, tmp_path: Path) -> None:
    """Many tests of steps use the emulator. It ignores preconditions, so the conformance suite does not run on it."""
    files = {"deep/file": _DATA, "sub/large": os.urandom(_LARGE_BYTES), "top": b""}
    for name, content in files.items():
        assert storage.write_bytes(storage.join(emulated_root, name), content, crc32=storage.crc32(content))
    assert storage.list_names(emulated_root) == ["deep", "sub", "top"]
    assert storage.list_files(emulated_root, is_deep=True) == {
        name: StoredFile(len(content), storage.crc32c(content), storage.crc32(content)) for name, content in files.items()
    }
    storage.fetch_tree(emulated_root, tmp_path / "back")
    assert {name: (tmp_path / "back" / name).read_bytes() for name in files} == files
    storage.remove_tree(storage.join(emulated_root, "sub"))
    assert storage.list_names(emulated_root) == ["deep", "top"]


@pytest.mark.object_store
def test_stat_returns_checksums(gcs_root: str) -> None:
    uri = storage.join(gcs_root, "file")
    storage.write_bytes(uri, _DATA, crc32=storage.crc32(_DATA))
    assert storage.stat(uri) == StoredFile(len(_DATA), storage.crc32c(_DATA), storage.crc32(_DATA))


def test_missing_object_or_bucket_is_named(emulated_root: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{emulated_root}/file: there is no such object, or no bucket gs://cells"):
        storage.read_bytes(storage.join(emulated_root, "file"))
    with pytest.raises(FileNotFoundError, match="no bucket gs://another"):
        storage.list_names("gs://another/place")


def test_missing_credentials_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    gcs_storage.close()
    with pytest.raises(PermissionError, match="workload identity; elsewhere run: gcloud auth application-default login"):
        storage.exists("gs://cells/file")
