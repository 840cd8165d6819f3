import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import storage
from components.storage import gcs as gcs_storage
from components.storage.store import StoredFile
from tests import gcs_servers
from tests.gcs_servers import Fault, Faults

_DATA = bytes(range(256)) * 400
_LARGE_BYTES = 9 << 20  # sent in another way than smaller ones


def _round_trips(root: str, folder: Path) -> None:
    """What every object store can do."""
    uri = storage.join(root, "deep", "file")
    assert not storage.exists(uri)
    assert (storage.list_names(root), storage.list_files(root)) == ([], {})
    assert storage.write_bytes(uri, _DATA, crc32=storage.crc32(_DATA))
    assert storage.read_bytes(uri) == _DATA
    assert storage.stat(uri) == StoredFile(len(_DATA), storage.crc32c(_DATA), storage.crc32(_DATA))
    assert storage.stored_crc32c(uri) == storage.crc32c(_DATA)

    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "top").write_bytes(b"")
    (folder / "tree" / "sub" / "large").write_bytes(os.urandom(_LARGE_BYTES))
    storage.create_tree(folder / "tree", root)
    assert storage.list_names(root) == ["deep", "sub", "top"]
    assert storage.list_files(root) == {"top": StoredFile(0, "00000000")}
    everything = storage.list_files(root, is_deep=True)
    assert {name: file.num_bytes for name, file in everything.items()} == {
        "deep/file": len(_DATA),
        "sub/large": _LARGE_BYTES,
        "top": 0,
    }
    assert everything["deep/file"].crc32c == storage.crc32c(_DATA)
    storage.fetch_tree(root, folder / "back")
    assert (folder / "back" / "deep" / "file").read_bytes() == _DATA
    assert (folder / "back" / "sub" / "large").read_bytes() == (folder / "tree" / "sub" / "large").read_bytes()
    assert sorted(path.name for path in (folder / "back").rglob("*") if path.is_file()) == ["file", "large", "top"]

    for content in (b"1", b"2"):
        storage.replace_bytes(storage.join(root, "pointer"), content)
    assert storage.read_bytes(storage.join(root, "pointer")) == b"2"
    storage.remove_tree(storage.join(root, "sub"))
    assert storage.list_names(root) == ["deep", "pointer", "top"]


def test_files_come_back_from_an_emulator_as_they_were_written(emulated_root: str, tmp_path: Path) -> None:
    _round_trips(emulated_root, tmp_path)


def test_what_is_not_there_is_named(emulated_root: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{emulated_root}/file: there is no such object, or no bucket gs://cells"):
        storage.read_bytes(storage.join(emulated_root, "file"))
    with pytest.raises(FileNotFoundError, match="no bucket gs://another"):
        storage.list_names("gs://another/place")


def test_without_credentials_the_error_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    gcs_storage.close()
    with pytest.raises(PermissionError, match="workload identity; elsewhere run: gcloud auth application-default login"):
        storage.exists("gs://cells/file")


@pytest.mark.gcs
class TestPreconditions:
    def test_files_come_back_as_they_were_written(self, gcs_root: str, tmp_path: Path) -> None:
        _round_trips(gcs_root, tmp_path)

    def test_nothing_is_ever_overwritten(self, gcs_root: str, tmp_path: Path) -> None:
        uri = storage.join(gcs_root, "file")
        assert storage.write_bytes(uri, b"one") is True
        assert storage.write_bytes(uri, b"one") is False
        with pytest.raises(FileExistsError, match=f"{uri} exists already with other content"):
            storage.write_bytes(uri, b"other")
        with pytest.raises(FileExistsError), storage.create(uri) as path:
            path.write_bytes(b"other")
        (tmp_path / "large").write_bytes(bytes(_LARGE_BYTES))
        with pytest.raises(FileExistsError):
            storage.store(tmp_path / "large", uri)
        assert storage.read_bytes(uri) == b"one"

    @pytest.mark.parametrize("size", [1, _LARGE_BYTES])
    def test_of_many_who_create_one_name_one_wins(self, gcs_root: str, size: int) -> None:
        uri = storage.join(gcs_root, "file")

        def write(letter: str) -> bool:
            try:
                return storage.write_bytes(uri, letter.encode() * size)
            except FileExistsError:
                return False

        with ThreadPoolExecutor(8) as pool:
            won = dict(zip("abcdefgh", pool.map(write, "abcdefgh"), strict=True))
        (winner,) = [letter for letter in won if won[letter]]
        assert storage.read_bytes(uri) == winner.encode() * size

    def test_parts_are_read(self, gcs_root: str) -> None:
        uri = storage.join(gcs_root, "file")
        storage.write_bytes(uri, _DATA)
        for start, length in ((0, 10), (5, 1), (len(_DATA) - 3, 3), (len(_DATA) - 3, 10), (len(_DATA), 5), (7, 0)):
            assert storage.read_range(uri, start, length) == _DATA[start : start + length]


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
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
class TestFaults:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gcs_storage, "TIMEOUT_S", 1.0)
        monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(10))

    @pytest.mark.parametrize("planned", _PASSING.values(), ids=_PASSING)
    @pytest.mark.parametrize("size", [100_000, _LARGE_BYTES])
    def test_that_pass_are_survived(self, gcs_root: str, faults: Faults, planned: list[Fault], size: int) -> None:
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
    def test_bytes_that_were_changed_on_the_way_are_sent_again(
        self, gcs_root: str, faults: Faults, tmp_path: Path, size: int
    ) -> None:
        uri, data = storage.join(gcs_root, "file"), os.urandom(size)
        faults.planned = [gcs_servers.corrupt_request] * 2
        storage.write_bytes(uri, data)
        faults.planned = [gcs_servers.corrupt_answer]
        assert storage.read_bytes(uri) == data
        faults.planned = [gcs_servers.corrupt_answer]
        storage.fetch(uri, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == data
        assert faults.planned == []

    @pytest.mark.parametrize("fault", [gcs_servers.answer(503), gcs_servers.reset])
    def test_that_do_not_pass_end_in_one_error(
        self, gcs_root: str, faults: Faults, fault: Fault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(0.5))
        faults.planned = [fault] * 1000
        for act in (storage.read_bytes, storage.exists, lambda uri: storage.write_bytes(uri, b"")):
            with pytest.raises(OSError, match=r"Cloud Storage could not be used.*The same command again carries on"):
                act(storage.join(gcs_root, "file"))
        faults.planned = []
        assert storage.list_names(gcs_root) == []

    def test_access_that_is_denied_is_not_tried_again(self, gcs_root: str, faults: Faults) -> None:
        faults.planned = [gcs_servers.answer(403)] * 3
        with pytest.raises(PermissionError, match=r"access denied.*role Storage Object User on gs://cells"):
            storage.write_bytes(storage.join(gcs_root, "file"), b"")
        assert len(faults.planned) == 2, faults.requests
