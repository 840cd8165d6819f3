"""Object stores that accept requests and never answer, with the real time limits."""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from components import storage
from components.storage import gcs, s3_requests
from tests.object_stores import Faults, silent

_DATA = b"cells"
_LARGE = os.urandom(9 << 20)  # uploaded differently from smaller files
# Each operation on a folder with the file `there` and the pointer `pointer` of a generation, and a local folder.
_OPERATIONS: dict[str, Callable[[str, str, Path], object]] = {
    "stat": lambda root, *_: storage.stat(f"{root}/there"),
    "modified": lambda root, *_: storage.modified_s(f"{root}/there"),
    "list files": lambda root, *_: storage.list_files(root),
    "list names": lambda root, *_: storage.list_names(root),
    "read": lambda root, *_: storage.read_bytes(f"{root}/there"),
    "read range": lambda root, *_: storage.read_range(f"{root}/there", 1, 2, bool),
    "read pointer": lambda root, *_: storage.read_with_generation(f"{root}/pointer"),
    "fetch": lambda root, _, folder: storage.fetch(f"{root}/there", folder / "there"),
    "write": lambda root, *_: storage.write_bytes(f"{root}/small", _DATA),
    "write large": lambda root, *_: storage.write_bytes(f"{root}/large", _LARGE),
    "copy": lambda root, *_: storage.open_store(root).copy(f"{root}/there", f"{root}/copy"),
    "swap": lambda root, generation, _: storage.swap(f"{root}/pointer", b"new", generation),
    "replace": lambda root, *_: storage.replace_bytes(f"{root}/other", _DATA),
    "remove": lambda root, *_: storage.remove(f"{root}/here"),
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.object_store,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # see the fixture `faults`
]


@pytest.fixture
def start_all(remote_root: str, faults: Faults, tmp_path: Path) -> Callable[[], dict[str, Future[float]]]:
    """Makes the store silent and starts every operation, each of which returns its duration in seconds."""

    def start() -> dict[str, Future[float]]:
        for name in ("there", "here", "pointer"):
            storage.write_bytes(f"{remote_root}/{name}", _DATA)
        _, generation = storage.read_with_generation(f"{remote_root}/pointer") or (b"", "")
        faults.planned = [silent] * 10_000
        began_s = time.monotonic()

        def run(name: str) -> float:
            _OPERATIONS[name](remote_root, generation, tmp_path)
            return time.monotonic() - began_s

        pool = ThreadPoolExecutor(len(_OPERATIONS))
        return {name: pool.submit(run, name) for name in _OPERATIONS}

    return start


def test_an_operation_on_a_silent_store_ends_in_an_error(start_all: Callable[[], dict[str, Future[float]]]) -> None:
    """Every operation on an object store that takes requests and never answers ends in an error within seven minutes."""
    assert gcs.RETRY_FOR_S + gcs.TIMEOUT_S == s3_requests.RETRY_FOR_S + s3_requests.TIMEOUT_S == 360
    began_s = time.monotonic()
    running = start_all()
    errors = {name: str(done.exception(420 - (time.monotonic() - began_s))) for name, done in running.items()}
    message = re.compile("could not be used.*Run the same command again")
    assert {name: error for name, error in errors.items() if not message.search(error)} == {}


def test_an_operation_resumes_when_a_store_answers_again(
    start_all: Callable[[], dict[str, Future[float]]],
    faults: Faults,
    remote_root: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Every operation on an object store that is silent for a minute and a half succeeds soon afterwards."""
    silent_s = 90
    running = start_all()
    time.sleep(silent_s)
    faults.planned = []
    took_s = {name: done.result(300) for name, done in running.items()}
    assert min(took_s.values()) > silent_s
    # The last silent request is given up a minute after it was sent.
    assert max(took_s.values()) < silent_s + max(gcs.TIMEOUT_S, s3_requests.TIMEOUT_S) + 30
    assert storage.list_names(remote_root) == ["copy", "large", "other", "pointer", "small", "there"]
    assert storage.read_bytes(f"{remote_root}/pointer") == b"new"
    assert storage.stored_crc32c(f"{remote_root}/large") == storage.crc32c(_LARGE)
    record_property("figure", f"all {len(took_s)} within {max(took_s.values()) - silent_s:.0f} s")
