import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.storage import gcs as gcs_storage
from components.storage.store import StoredFile
from tests import gcs_servers
from tests.gcs_servers import Fault, Faults

_DATA = bytes(range(256)) * 400
_LARGE_BYTES = 9 << 20  # sent in another way than smaller ones


def test_files_come_back_from_an_emulator(emulated_root: str, tmp_path: Path) -> None:
    """The emulator ignores preconditions, so the conformance suite does not run on it, but many tests of steps use it."""
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


@pytest.mark.gcs
def test_checksums_are_known_without_reading(gcs_root: str) -> None:
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


# What is done to requests in turn, until the store is left alone.
_PASSING: dict[str, list[Fault]] = {
    "reset": [gcs_servers.reset],
    "reset three times": [gcs_servers.reset] * 3,
    "reset when it is done": [gcs_servers.reset_after_it_is_done],
    "truncated": [gcs_servers.truncate],
    "429 burst": [gcs_servers.answer(429)] * 3,
    "503 burst": [gcs_servers.answer(503)] * 3,
    "stalled": [gcs_servers.stall],
    "all sorts": [gcs_servers.answer(502), gcs_servers.reset, gcs_servers.truncate],
}


@pytest.mark.gcs
@pytest.mark.usefixtures("quick_retries")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
class TestFaults:
    @pytest.mark.parametrize("planned", _PASSING.values(), ids=_PASSING)
    @pytest.mark.parametrize("size", [100_000, _LARGE_BYTES])
    def test_transient_ones_are_survived(self, gcs_root: str, faults: Faults, planned: list[Fault], size: int) -> None:
        uri = storage.join(gcs_root, "file")
        data = os.urandom(size)
        faults.planned = list(planned)
        storage.write_bytes(uri, data, crc32=storage.crc32(data))
        assert faults.planned == []
        for act in self._readers(uri, data):
            faults.planned = list(planned)
            act()
            assert faults.planned == []

    @staticmethod
    def _readers(uri: str, data: bytes) -> list[Callable[[], None]]:
        expected = StoredFile(len(data), storage.crc32c(data), storage.crc32(data))

        def read() -> None:
            assert storage.read_bytes(uri) == data

        def stat() -> None:
            assert storage.stat(uri) == expected

        def list_files() -> None:
            assert storage.list_files(uri.rpartition("/")[0]) == {"file": expected}

        return [read, stat, list_files]

    @pytest.mark.parametrize("size", [100_000, _LARGE_BYTES])
    def test_corrupted_bytes_are_sent_again(self, gcs_root: str, faults: Faults, tmp_path: Path, size: int) -> None:
        uri, data = storage.join(gcs_root, "file"), os.urandom(size)
        faults.planned = [gcs_servers.corrupt_request] * 2
        storage.write_bytes(uri, data)
        faults.planned = [gcs_servers.corrupt_answer]
        assert storage.read_bytes(uri) == data
        faults.planned = [gcs_servers.corrupt_answer]
        storage.fetch(uri, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == data
        faults.planned = [gcs_servers.corrupt_answer]
        found = storage.read_with_generation(uri)
        assert found
        assert found[0] == data
        assert faults.planned == []

    @pytest.mark.parametrize("fault", [gcs_servers.answer(503), gcs_servers.reset])
    def test_persistent_ones_end_in_one_error(
        self, gcs_root: str, faults: Faults, fault: Fault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(0.5))
        faults.planned = [fault] * 1000
        for act in (storage.read_bytes, storage.exists, lambda uri: storage.write_bytes(uri, b"")):
            with pytest.raises(OSError, match=r"Cloud Storage could not be used.*The same command again carries on"):
                act(storage.join(gcs_root, "file"))
        faults.planned = []
        assert storage.list_names(gcs_root) == []

    def test_denied_access_is_not_retried(self, gcs_root: str, faults: Faults) -> None:
        faults.planned = [gcs_servers.answer(403)] * 3
        with pytest.raises(PermissionError, match=r"access denied.*role Storage Object User on gs://cells"):
            storage.write_bytes(storage.join(gcs_root, "file"), b"")
        assert len(faults.planned) == 2, faults.requests
