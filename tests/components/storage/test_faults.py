"""What object stores do while a proxy disturbs the requests to them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.storage import gcs as gcs_storage
from components.storage import s3_requests
from components.storage.store import StoredFile
from tests import object_stores
from tests.object_stores import Fault, Faults

_LARGE_BYTES = 9 << 20  # sent in another way than smaller ones

# What is done to requests in turn, until the store is left alone.
_PASSING: dict[str, list[Fault]] = {
    "reset": [object_stores.reset],
    "reset three times": [object_stores.reset] * 3,
    "reset when it is done": [object_stores.reset_after_it_is_done],
    "truncated": [object_stores.truncate],
    "429 burst": [object_stores.answer(429)] * 3,
    "503 burst": [object_stores.answer(503)] * 3,
    "stalled": [object_stores.stall],
    "all sorts": [object_stores.answer(502), object_stores.reset, object_stores.truncate],
}

pytestmark = [
    pytest.mark.object_store,
    pytest.mark.usefixtures("impatient_stores"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # see the fixture `faults`
]


@pytest.mark.parametrize("planned", _PASSING.values(), ids=_PASSING)
@pytest.mark.parametrize("size", [100_000, _LARGE_BYTES])
def test_transient_faults_are_survived(remote_root: str, faults: Faults, planned: list[Fault], size: int) -> None:
    uri = storage.join(remote_root, "file")
    data = os.urandom(size)
    faults.planned = list(planned)
    storage.write_bytes(uri, data, crc32=storage.crc32(data))
    assert faults.planned == []
    for act in _readers(uri, data):
        faults.planned = list(planned)
        act()
        assert faults.planned == []


def _readers(uri: str, data: bytes) -> list[Callable[[], None]]:
    expected = StoredFile(len(data), storage.crc32c(data), storage.crc32(data))

    def read() -> None:
        assert storage.read_bytes(uri) == data

    def stat() -> None:
        assert storage.stat(uri) == expected

    def list_files() -> None:
        (found,) = storage.list_files(uri.rpartition("/")[0]).values()
        assert storage.with_checksums(uri, found) == expected

    return [read, stat, list_files]


@pytest.mark.parametrize("size", [100_000, _LARGE_BYTES])
def test_damaged_bytes_are_sent_again(remote_root: str, faults: Faults, tmp_path: Path, size: int) -> None:
    uri, data = storage.join(remote_root, "file"), os.urandom(size)
    if remote_root.startswith("s3:") and size > 100_000:
        faults.planned = [object_stores.only(["PUT"], object_stores.corrupt_request)] * 2
    else:
        faults.planned = [object_stores.corrupt_request] * 2
    storage.write_bytes(uri, data)
    corrupt_download = object_stores.only(["GET"], object_stores.corrupt_answer)
    faults.planned = [corrupt_download]
    assert storage.read_bytes(uri) == data
    faults.planned = [corrupt_download]
    storage.fetch(uri, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data
    faults.planned = [corrupt_download]
    found = storage.read_with_generation(uri)
    assert found
    assert found[0] == data
    assert faults.planned == []


@pytest.mark.parametrize("fault", [object_stores.answer(503), object_stores.reset])
def test_persistent_faults_end_in_one_error(
    remote_root: str, faults: Faults, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(0.5))
    monkeypatch.setattr(s3_requests, "RETRY_FOR_S", 0.5)
    faults.planned = [fault] * 1000
    for act in (storage.read_bytes, storage.exists, lambda uri: storage.write_bytes(uri, b"")):
        with pytest.raises(OSError, match=r"(Cloud Storage|S3) could not be used.*The same command again carries on"):
            act(storage.join(remote_root, "file"))
    faults.planned = []
    assert storage.list_names(remote_root) == []


def test_denied_access_is_not_retried(remote_root: str, faults: Faults) -> None:
    faults.planned = [object_stores.answer(403)] * 3
    with pytest.raises(PermissionError, match=r"access denied\. Give the account that runs this step"):
        storage.write_bytes(storage.join(remote_root, "file"), b"")
    assert len(faults.planned) == 2, faults.requests
