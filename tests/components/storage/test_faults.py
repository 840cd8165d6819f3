"""The object store clients behind a proxy that disturbs their requests."""

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

_LARGE_BYTES = 9 << 20  # uploaded differently from smaller files

# The faults of successive requests, before requests succeed again.
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
def test_damaged_uploads_are_repeated(remote_root: str, faults: Faults, tmp_path: Path, size: int) -> None:
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


@pytest.mark.parametrize(("size", "method", "num_places"), [(100_000, "POST", 30), (_LARGE_BYTES, "PUT", 3)])
def test_damaged_responses_to_uploads_are_survived(
    gcs_root: str, faults: Faults, size: int, method: str, num_places: int
) -> None:
    data = os.urandom(size)
    changes = [object_stores.corrupt_at(place / (num_places - 1)) for place in range(num_places)]
    for number, fault in enumerate([object_stores.shorten_answer, *map(object_stores.change_answer, changes)]):
        uri = storage.join(gcs_root, f"file{number}")
        faults.planned = [object_stores.only([method], fault)]
        storage.write_bytes(uri, data)
        assert faults.planned == []
        assert storage.read_bytes(uri) == data


def test_malformed_json_responses_are_requested_again(gcs_root: str, faults: Faults) -> None:
    uri, data = storage.join(gcs_root, "file"), b"cells"
    storage.write_bytes(uri, data)
    generation = (storage.read_with_generation(uri) or ("", ""))[1]
    for act in (
        lambda: storage.stat(uri),
        lambda: storage.list_files(gcs_root),
        lambda: storage.list_names(gcs_root),
        lambda: storage.open_store(uri).copy(uri, storage.join(gcs_root, "copy")),
        lambda: storage.replace_bytes(storage.join(gcs_root, "pointer"), data),
    ):
        faults.planned = [object_stores.shorten_answer]
        act()
        assert faults.planned == []
    faults.planned = [object_stores.shorten_answer]
    storage.swap(uri, b"other cells", generation)
    assert storage.read_bytes(uri) == b"other cells"


def test_a_wrongly_refused_conditional_write_is_retried(gcs_root: str, faults: Faults) -> None:
    uri = storage.join(gcs_root, "file")
    faults.planned = [object_stores.answer(412)]
    assert storage.write_bytes(uri, b"cells")
    _, generation = storage.read_with_generation(uri) or (b"", "")
    faults.planned = [object_stores.answer(412)]
    storage.swap(uri, b"other cells", generation)
    assert storage.read_bytes(uri) == b"other cells"
    with pytest.raises(storage.SwappedMeanwhileError):
        storage.swap(uri, b"more cells", generation)
    with pytest.raises(FileExistsError, match="with other content"):
        storage.write_bytes(uri, b"cells")


def test_a_conditional_write_that_is_always_refused_fails(
    gcs_root: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_storage, "_DAMAGED_TRIES_S", 0.5)
    faults.planned = [object_stores.only(["POST"], object_stores.answer(412))] * 100
    with pytest.raises(OSError, match=r"Cloud Storage could not be used.*file was refused as damaged.*again to resume"):
        storage.write_bytes(storage.join(gcs_root, "file"), b"cells")


@pytest.mark.parametrize("fault", [object_stores.shorten_answer, object_stores.corrupt_answer])
def test_damaged_ranges_are_read_again_and_never_accepted(remote_root: str, faults: Faults, fault: Fault) -> None:
    uri, data = storage.join(remote_root, "file"), os.urandom(1000)
    storage.write_bytes(uri, data)
    expected = data[100:200]
    faults.planned = [fault]
    assert storage.read_range(uri, 100, 100, lambda found: found == expected) == expected
    assert faults.planned == []
    faults.planned = [fault] * 3
    with pytest.raises(OSError, match=r"file is damaged: expected 100 bytes at offset 100 with"):
        storage.read_range(uri, 100, 100, lambda found: found == expected)


def test_a_truncated_part_of_a_large_file_is_detected(s3_root: str, faults: Faults, tmp_path: Path) -> None:
    """Even if the store has no checksum of the file."""
    uri, data = storage.join(s3_root, "file"), os.urandom(_LARGE_BYTES)
    storage.replace_bytes(uri, data)
    head = s3_requests.call(uri, "head_object")
    assert head["ContentLength"] == len(data)
    faults.planned = [object_stores.only(["GET"], object_stores.shorten_answer)]
    storage.fetch(uri, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data
    assert faults.planned == []


@pytest.mark.parametrize("fault", [object_stores.answer(503), object_stores.reset])
def test_persistent_faults_end_in_one_error(
    remote_root: str, faults: Faults, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(0.5))
    monkeypatch.setattr(s3_requests, "RETRY_FOR_S", 0.5)
    faults.planned = [fault] * 1000
    for act in (storage.read_bytes, storage.exists, lambda uri: storage.write_bytes(uri, b"")):
        with pytest.raises(OSError, match=r"(Cloud Storage|S3) could not be used.*Run the same command again to resume"):
            act(storage.join(remote_root, "file"))
    faults.planned = []
    assert storage.list_names(remote_root) == []


def test_denied_access_is_not_retried(remote_root: str, faults: Faults) -> None:
    faults.planned = [object_stores.answer(403)] * 3
    with pytest.raises(PermissionError, match=r"access denied\. Give the account that runs this step"):
        storage.write_bytes(storage.join(remote_root, "file"), b"")
    assert len(faults.planned) == 2, faults.requests
