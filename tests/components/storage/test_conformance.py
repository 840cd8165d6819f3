"""The conformance suite of the storage backends. A new backend needs a fixture in tests/conftest.py."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components import storage
from components.storage import SwappedMeanwhileError
from components.storage.local_copy import local_copy
from tests.conftest import OBJECT_STORES
from tests.object_stores import Faults, reset_after_it_is_done

_DATA = bytes(range(256)) * 400
_LARGE_BYTES = 9 << 20  # too large for a single request to an object store
_LETTERS = "abcdefgh"


@pytest.fixture(params=["local_root", *OBJECT_STORES])
def root(request: pytest.FixtureRequest) -> str:
    """An empty folder of each backend."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def uri(root: str) -> str:
    """A file in a folder that does not exist yet."""
    return storage.join(root, "folder", "file")


def _tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _contents(root: str) -> dict[str, bytes]:
    return {name: storage.read_bytes(storage.join(root, name)) for name in storage.list_tree(root)}


def _winner(write: Callable[[str], object], refusal: type[OSError], letters: str = _LETTERS) -> str:
    """Returns the thread whose write succeeded; all others must be refused."""

    def wins(letter: str) -> bool:
        try:
            write(letter)
        except refusal:
            return False
        return True

    with ThreadPoolExecutor(len(letters)) as pool:
        (winner,) = [letter for letter, won in zip(letters, pool.map(wins, letters), strict=True) if won]
    return winner


class TestRead:
    def test_a_file_is_read_as_written_and_has_its_checksum(self, uri: str) -> None:
        storage.write_bytes(uri, _DATA)
        assert storage.exists(uri)
        assert storage.read_bytes(uri) == _DATA
        assert storage.stored_crc32c(uri) == storage.crc32c(_DATA)

    @pytest.mark.parametrize("start", [0, 5, len(_DATA) - 3, len(_DATA)])
    @pytest.mark.parametrize("length", [0, 1, 3, 10])
    def test_a_range_is_read_and_one_beyond_the_end_is_an_error(self, uri: str, start: int, length: int) -> None:
        storage.write_bytes(uri, _DATA)
        expected = _DATA[start : start + length]
        assert storage.read_range(uri, start, len(expected), lambda found: found == expected) == expected
        if len(expected) < length:
            with pytest.raises(OSError, match=rf"file is damaged: expected {length} bytes at offset {start} with"):
                storage.read_range(uri, start, length, lambda found: True)

    def test_an_empty_file_is_stored_and_listed(self, uri: str) -> None:
        storage.write_bytes(uri, b"")
        assert storage.read_bytes(uri) == b""
        assert storage.list_tree(uri.rpartition("/")[0]) == ["file"]

    def test_stat_returns_size_and_known_checksums(self, uri: str) -> None:
        storage.write_bytes(uri, _DATA, crc32=storage.crc32(_DATA))
        file = storage.stat(uri)
        assert file
        assert file.num_bytes == len(_DATA)
        assert storage.with_checksums(uri, file) == storage.StoredFile(len(_DATA), storage.crc32c(_DATA), storage.crc32(_DATA))

    def test_modified_s_is_the_time_of_publication(self, uri: str, tmp_path: Path) -> None:
        storage.write_bytes(uri, b"")
        assert storage.modified_s(uri) == pytest.approx(_tree(tmp_path, {"now": b""}).joinpath("now").stat().st_mtime, abs=60)

    @pytest.mark.parametrize(
        "read", [storage.read_bytes, storage.modified_s, storage.stored_crc32c, lambda uri: storage.read_range(uri, 0, 1, bool)]
    )
    def test_missing_file_is_named(self, uri: str, read: Callable[[str], object]) -> None:
        with pytest.raises(FileNotFoundError, match=uri):
            read(uri)
        assert not storage.exists(uri)
        assert storage.stat(uri) is None
        assert storage.read_with_generation(uri) is None


class TestCreate:
    def test_file_appears_only_when_complete(self, uri: str) -> None:
        with storage.create(uri) as path:
            path.write_bytes(b"content")
            assert not storage.exists(uri)
            assert storage.list_tree(uri.rpartition("/")[0]) == []
        assert storage.read_bytes(uri) == b"content"

    def test_temporary_name_keeps_the_suffix(self, root: str) -> None:
        with storage.create(storage.join(root, "weights.h5")) as path:
            assert path.suffix == ".h5"
            path.write_bytes(b"")

    @pytest.mark.parametrize("written", [None, b"half"])
    def test_failed_writer_publishes_nothing(self, root: str, uri: str, written: bytes | None) -> None:
        def write() -> None:
            with storage.create(uri) as path:
                if written:
                    path.write_bytes(written)
                    raise RuntimeError("gave up")

        with pytest.raises(RuntimeError if written else FileNotFoundError):
            write()
        assert storage.list_tree(root) == []


def _write_bytes(uri: str, data: bytes, _folder: Path) -> None:
    storage.write_bytes(uri, data)


def _write_unsynced(uri: str, data: bytes, _folder: Path) -> None:
    storage.write_bytes(uri, data, sync=False)
    storage.sync(uri)


def _create(uri: str, data: bytes, _folder: Path) -> None:
    with storage.create(uri) as path:
        path.write_bytes(data)


def _store(uri: str, data: bytes, folder: Path) -> None:
    storage.store(_tree(folder, {storage.crc32c(data): data}) / storage.crc32c(data), uri)


_WRITES = [_write_bytes, _write_unsynced, _create, _store]


@pytest.mark.parametrize("write", _WRITES)
class TestCreateOnly:
    def test_same_content_is_accepted(self, uri: str, write: Callable[..., None], tmp_path: Path) -> None:
        for _ in range(2):
            write(uri, _DATA, tmp_path)
        assert storage.read_bytes(uri) == _DATA

    @pytest.mark.parametrize("other", [b"", b"other", bytes(_LARGE_BYTES)], ids=["empty", "small", "large"])
    def test_other_content_is_refused_and_not_overwritten(
        self, uri: str, write: Callable[..., None], other: bytes, tmp_path: Path
    ) -> None:
        write(uri, b"one", tmp_path)
        with pytest.raises(FileExistsError, match=f"{uri} already exists with other content and was not overwritten"):
            write(uri, other, tmp_path)
        assert _contents(uri.rpartition("/")[0]) == {"file": b"one"}

    @pytest.mark.parametrize("size", [1, _LARGE_BYTES])
    def test_one_of_several_threads_succeeds(self, uri: str, write: Callable[..., None], size: int, tmp_path: Path) -> None:
        winner = _winner(lambda letter: write(uri, letter.encode() * size, tmp_path), FileExistsError)
        assert storage.read_bytes(uri) == winner.encode() * size

    def test_several_threads_may_write_the_same_content(self, uri: str, write: Callable[..., None], tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: write(uri, _DATA, tmp_path / str(number)), range(8)))
        assert storage.read_bytes(uri) == _DATA


def test_write_bytes_returns_whether_it_wrote(uri: str) -> None:
    assert [storage.write_bytes(uri, b"same") for _ in range(2)] == [True, False]


def test_store_copies_instead_of_linking(uri: str, tmp_path: Path) -> None:
    path = _tree(tmp_path, {"file": b"before"}) / "file"
    storage.store(path, uri)
    path.write_bytes(b"after")
    assert storage.read_bytes(uri) == b"before"


@pytest.mark.parametrize(
    "name",
    [
        "a b (1).tif",
        "ä é ñ",
        "細胞.png",
        "#1",
        "50%",
        "a%2Fb",
        "a+b&c=d",
        "what?",
        "'quoted\"",
        "*[x]*",
        ".hidden",
        "-",
        "~x",
        "x" * 200,
    ],
)
def test_unusual_names_round_trip(root: str, tmp_path: Path, name: str) -> None:
    uri = storage.join(root, name, name)
    with storage.create(uri) as path:
        path.write_bytes(_DATA)
    assert storage.read_bytes(uri) == _DATA
    assert storage.list_names(root) == storage.list_names(storage.join(root, name)) == [name]
    assert list(storage.list_files(root, is_deep=True)) == [f"{name}/{name}"]
    storage.fetch_tree(root, tmp_path / "back")
    assert (tmp_path / "back" / name / name).read_bytes() == _DATA
    storage.remove(uri)
    assert not storage.exists(uri)


class TestSwap:
    def test_replaces_only_the_generation_that_was_read(self, uri: str) -> None:
        storage.swap(uri, b"one", "")
        first = self._generation(uri)
        assert first
        with pytest.raises(SwappedMeanwhileError, match=f"{uri} was changed by another process .*Expected no file"):
            storage.swap(uri, b"two", "")
        storage.swap(uri, b"two", first)
        second = self._generation(uri)
        assert second != first
        with pytest.raises(SwappedMeanwhileError, match=f"Expected generation {first}. Received: {second}"):
            storage.swap(uri, b"three", first)
        assert storage.read_with_generation(uri) == (b"two", second)

    def test_repeated_swap_counts_as_done(self, uri: str) -> None:
        storage.swap(uri, b"one", "")
        first = self._generation(uri)
        for _ in range(2):
            storage.swap(uri, b"two", first)
        assert storage.read_bytes(uri) == b"two"

    def test_swap_of_a_removed_file_is_refused(self, uri: str) -> None:
        storage.swap(uri, b"one", "")
        first = self._generation(uri)
        storage.remove(uri)
        with pytest.raises(SwappedMeanwhileError, match="Received: no file"):
            storage.swap(uri, b"two", first)
        assert storage.read_with_generation(uri) is None

    def test_one_of_several_threads_succeeds(self, uri: str) -> None:
        letters, generation = _LETTERS, ""
        for _ in range(3):
            before = generation
            winner = _winner(
                lambda letter, before=before: storage.swap(uri, letter.encode(), before), SwappedMeanwhileError, letters
            )
            assert storage.read_bytes(uri) == winner.encode()
            letters, generation = letters.replace(winner, ""), self._generation(uri)

    @staticmethod
    def _generation(uri: str) -> str:
        found = storage.read_with_generation(uri)
        assert found
        return found[1]


def test_replace_overwrites(uri: str) -> None:
    for content in (b"1", b"2"):
        storage.replace_bytes(uri, content)
        assert _contents(uri.rpartition("/")[0]) == {"file": content}


class TestList:
    @pytest.fixture(autouse=True)
    def _files(self, root: str) -> None:
        for name in ("b", "a", "c/d/e", "c/d.png"):
            storage.write_bytes(storage.join(root, name), name.encode())

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_list_names_includes_files_and_folders(self, root: str, slash: str) -> None:
        assert storage.list_names(root + slash) == ["a", "b", "c"]
        assert storage.list_names(f"{root}/c{slash}") == ["d", "d.png"]

    def test_list_files_returns_sizes(self, root: str) -> None:
        assert [(name, file.num_bytes) for name, file in storage.list_files(root).items()] == [("a", 1), ("b", 1)]
        assert {name: file.num_bytes for name, file in storage.list_files(root, is_deep=True).items()} == {
            "a": 1,
            "b": 1,
            "c/d/e": 5,
            "c/d.png": 7,
        }

    def test_tree_is_sorted(self, root: str) -> None:
        assert storage.list_tree(root) == ["a", "b", "c/d.png", "c/d/e"]

    def test_missing_folder_lists_as_empty(self, root: str) -> None:
        missing = storage.join(root, "missing")
        assert storage.list_names(missing) == storage.list_tree(missing) == []
        assert storage.list_files(missing) == storage.list_files(missing, is_deep=True) == {}

    def test_large_folder_is_listed_completely(self, root: str) -> None:
        names = [f"{number:04d}" for number in range(1005)]  # object stores list 1000 at a time
        storage.for_each(lambda name: storage.write_bytes(f"{root}/large/{name}", b"", sync=False), names)
        assert storage.list_names(f"{root}/large") == storage.list_tree(f"{root}/large") == names

    def test_folder_does_not_exist_as_a_file(self, root: str) -> None:
        assert not storage.exists(storage.join(root, "c"))


_TREE = {"top": b"", "a/b/deep": b"1", "a/large": os.urandom(_LARGE_BYTES)}


class TestTrees:
    def test_fetched_tree_equals_the_published_one(self, root: str, tmp_path: Path) -> None:
        storage.create_tree(_tree(tmp_path / "in", _TREE), root)
        storage.fetch_tree(root, tmp_path / "out")
        assert _contents(str(tmp_path / "out")) == _contents(root) == _TREE
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "top"]

    def test_fetch_replaces_files_in_the_target_folder(self, root: str, tmp_path: Path) -> None:
        storage.write_bytes(storage.join(root, "file"), b"new")
        storage.fetch_tree(root, _tree(tmp_path / "out", {"file": b"old", "other": b""}))
        assert _contents(str(tmp_path / "out")) == {"file": b"new", "other": b""}

    def test_removal_spares_neighbouring_folders(self, root: str, tmp_path: Path) -> None:
        storage.create_tree(_tree(tmp_path / "in", {"a/b": b"", "a/c/d": b"", "ab": b""}), root)
        for _ in range(2):
            storage.remove_tree(storage.join(root, "a"))
            assert storage.list_tree(root) == ["ab"]


def test_removing_a_missing_file_is_no_error(uri: str) -> None:
    storage.write_bytes(uri, b"")
    for _ in range(2):
        storage.remove(uri)
        assert not storage.exists(uri)


def test_removed_folder_can_be_written_to_again(root: str, uri: str) -> None:
    for _ in range(2):
        storage.write_bytes(uri, b"again")
        storage.remove_tree(root)
    assert storage.list_tree(root) == []


class TestFetch:
    def test_target_folder_is_created(self, uri: str, tmp_path: Path) -> None:
        storage.write_bytes(uri, _DATA)
        storage.fetch(uri, tmp_path / "new" / "copy")
        assert _contents(str(tmp_path / "new")) == {"copy": _DATA}

    def test_changing_the_copy_leaves_the_original(self, uri: str, tmp_path: Path) -> None:
        storage.write_bytes(uri, b"before")
        storage.fetch(uri, tmp_path / "copy")
        (tmp_path / "copy").write_bytes(b"after")
        assert storage.read_bytes(uri) == b"before"

    def test_fetching_a_missing_file_leaves_nothing(self, uri: str, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=uri):
            storage.fetch(uri, tmp_path / "new" / "copy")
        assert list((tmp_path / "new").iterdir()) == []


class TestFolders:
    @contextlib.contextmanager
    def _incoming(self, root: str, claim: bytes = b"claim") -> Iterator[str]:
        with storage.incoming_folder(root) as incoming:
            for name, content in {"first": claim, "below/file": _DATA, "last": b""}.items():
                storage.write_bytes(storage.join(incoming, name), content)
            yield incoming

    def test_moved_folder_is_complete(self, root: str) -> None:
        with self._incoming(root) as incoming:
            assert not [name for name in storage.list_names(root) if name.isdigit()]
            storage.move_folder(incoming, storage.join(root, "1"), "first", "last")
        assert _contents(root) == {"1/below/file": _DATA, "1/first": b"claim", "1/last": b""}
        assert storage.list_names(root) == ["1"]

    def test_folder_that_is_not_moved_is_removed(self, root: str) -> None:
        with self._incoming(root):
            pass
        assert storage.list_tree(root) == storage.list_names(root) == []

    def test_taken_name_is_refused(self, root: str) -> None:
        target = storage.join(root, "1")
        with self._incoming(root, b"other") as incoming:
            storage.move_folder(incoming, target, "first", "last")
        with self._incoming(root) as incoming, pytest.raises(FileExistsError):
            storage.move_folder(incoming, target, "first", "last")
        assert _contents(root) == {"1/below/file": _DATA, "1/first": b"other", "1/last": b""}

    def test_only_one_of_several_threads_gets_the_name(self, root: str) -> None:
        def move(letter: str) -> None:
            with self._incoming(root, letter.encode()) as incoming:
                storage.move_folder(incoming, storage.join(root, "1"), "first", "last")

        winner = _winner(move, FileExistsError)
        assert _contents(root) == {"1/below/file": _DATA, "1/first": winner.encode(), "1/last": b""}

    def test_remove_folder_removes_all_files(self, root: str) -> None:
        for name in ("1/first", "1/below/file", "2/first"):
            storage.write_bytes(storage.join(root, name), b"")
        for _ in range(2):
            storage.remove_folder(storage.join(root, "1"), "first", "last")
            assert storage.list_tree(root) == ["2/first"]
            assert storage.list_names(root) == ["2"]


class TestLocalCopy:
    def test_contains_the_files(self, root: str, tmp_path: Path) -> None:
        storage.create_tree(_tree(tmp_path / "in", _TREE), root)
        files = {name: storage.StoredFile(len(data), storage.crc32c(data)) for name, data in _TREE.items()}
        with local_copy(root, files) as folder:
            assert storage.is_local(folder)
            assert _contents(folder) == _TREE
        assert _contents(root) == _TREE
        assert (folder == root) == storage.is_local(root) == Path(folder).exists()


@pytest.fixture
def lossy(remote_root: str, impatient_stores: None, faults: Faults) -> tuple[str, Faults]:
    """An empty folder in each object store, and the proxy that disturbs requests to it."""
    return remote_root, faults


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
class TestLostAnswers:
    """Each request in turn succeeds but loses its response."""

    @staticmethod
    def _lose_each(lossy: tuple[str, Faults], act: Callable[[str], None]) -> None:
        root, faults = lossy
        for number, disturbed in faults.each_request(reset_after_it_is_done):
            with disturbed:
                act(storage.join(root, str(number)))

    @pytest.mark.parametrize("write", _WRITES)
    @pytest.mark.parametrize("size", [100, _LARGE_BYTES])
    def test_write_succeeds(self, lossy: tuple[str, Faults], write: Callable[..., None], size: int, tmp_path: Path) -> None:
        def act(root: str) -> None:
            data = os.urandom(size)
            write(storage.join(root, "file"), data, tmp_path)
            assert storage.read_bytes(storage.join(root, "file")) == data

        self._lose_each(lossy, act)

    def test_swap_succeeds(self, lossy: tuple[str, Faults]) -> None:
        def act(root: str) -> None:
            uri, generation = storage.join(root, "pointer"), ""
            for content in (b"one", b"two"):
                storage.swap(uri, content, generation)
                found = storage.read_with_generation(uri)
                assert found
                assert found[0] == content
                generation = found[1]

        self._lose_each(lossy, act)

    def test_move_gets_the_requested_name(self, lossy: tuple[str, Faults]) -> None:
        files = {"first": b"claim", "below/file": _DATA, "last": b""}

        def act(root: str) -> None:
            with storage.incoming_folder(root) as incoming:
                for name, content in files.items():
                    storage.write_bytes(storage.join(incoming, name), content)
                storage.move_folder(incoming, storage.join(root, "1"), "first", "last")
            assert _contents(root) == {f"1/{name}": content for name, content in files.items()}

        self._lose_each(lossy, act)

    def test_removal_succeeds(self, lossy: tuple[str, Faults]) -> None:
        def act(root: str) -> None:
            for name in ("1/first", "1/other", "2", "3"):
                storage.write_bytes(storage.join(root, name), b"")
            storage.remove_folder(storage.join(root, "1"), "first", "last")
            storage.remove(storage.join(root, "2"))
            assert storage.list_tree(root) == ["3"]

        self._lose_each(lossy, act)
