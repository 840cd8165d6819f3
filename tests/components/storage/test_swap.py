"""Compare-and-swap of a pointer file: of those who read the same content, one swaps it."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import storage
from components.storage import SwappedMeanwhileError
from components.storage import gcs as gcs_storage
from components.storage import local as local_storage
from tests import gcs_servers
from tests.gcs_servers import Faults


def _generation(uri: str) -> str:
    found = storage.read_with_generation(uri)
    assert found
    return found[1]


def _swaps_only_what_was_read(uri: str) -> None:
    assert storage.read_with_generation(uri) is None
    storage.swap(uri, b"one", "")
    first = _generation(uri)
    assert first
    with pytest.raises(SwappedMeanwhileError, match=f"{uri}: somebody else has swapped it.*expected generation of no file"):
        storage.swap(uri, b"two", "")
    storage.swap(uri, b"two", first)
    assert _generation(uri) != first
    with pytest.raises(SwappedMeanwhileError, match=f"expected generation {first}. Received: {_generation(uri)}"):
        storage.swap(uri, b"three", first)
    assert storage.read_with_generation(uri) == (b"two", _generation(uri))
    storage.swap(uri, b"two", first)  # as who has lost the answer to it asks again
    storage.remove(uri)
    with pytest.raises(SwappedMeanwhileError, match="Received: no file"):
        storage.swap(uri, b"three", first)
    assert storage.read_with_generation(uri) is None


def _one_of_many_wins(uri: str, data: str) -> None:
    def swap(letter: str) -> bool:
        try:
            storage.swap(uri, letter.encode(), generation)
        except SwappedMeanwhileError:
            return False
        return True

    generation = ""
    for _ in range(3):
        with ThreadPoolExecutor(len(data)) as pool:
            (winner,) = [letter for letter, won in zip(data, pool.map(swap, data), strict=True) if won]
        found = storage.read_with_generation(uri)
        assert found
        assert found[0] == winner.encode()
        data, generation = data.replace(winner, ""), found[1]


def test_a_local_pointer_is_swapped_only_by_who_read_it(tmp_path: Path) -> None:
    _swaps_only_what_was_read(str(tmp_path / "folder" / "pointer"))


def test_of_many_who_swap_a_local_pointer_one_wins(tmp_path: Path) -> None:
    _one_of_many_wins(str(tmp_path / "pointer"), "abcdefgh")


def _swap_in_a_process(uri: str, letter: str, generation: str) -> bool:
    try:
        storage.swap(uri, letter.encode(), generation)
    except SwappedMeanwhileError:
        return False
    return True


def test_of_many_processes_that_swap_one_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "pointer")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_swap_in_a_process, [(uri, letter, "") for letter in "abcdefgh"], chunksize=1)
    (winner,) = [letter for letter, has_won in zip("abcdefgh", won, strict=True) if has_won]
    assert Path(uri).read_text() == winner


def _die_in_the_middle(uri: str, generation: str) -> None:
    local_storage._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    storage.swap(uri, b"new", generation)


def test_who_is_killed_while_swapping_leaves_the_old_content_and_no_lock(tmp_path: Path) -> None:
    uri = str(tmp_path / "pointer")
    storage.swap(uri, b"old", "")
    process = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(uri, _generation(uri)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert storage.read_with_generation(uri) == (b"old", _generation(uri))
    storage.swap(uri, b"new", _generation(uri))
    assert Path(uri).read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pointer.lock", "pointer"]


@pytest.mark.gcs
class TestCloudStorage:
    def test_a_pointer_is_swapped_only_by_who_read_it(self, gcs_root: str) -> None:
        _swaps_only_what_was_read(storage.join(gcs_root, "pointer"))

    def test_of_many_who_swap_one_wins(self, gcs_root: str) -> None:
        _one_of_many_wins(storage.join(gcs_root, "pointer"), "abcdefgh")

    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
    def test_a_swap_whose_answer_is_lost_is_known_to_be_done(
        self, gcs_root: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(10))
        uri = storage.join(gcs_root, "pointer")
        faults.planned = [gcs_servers.reset_after_it_is_done]
        storage.swap(uri, b"one", "")
        assert faults.planned == []
        faults.planned = [gcs_servers.corrupt_answer]
        assert storage.read_with_generation(uri) == (b"one", _generation(uri))
