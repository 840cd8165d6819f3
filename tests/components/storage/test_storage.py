import errno
import signal
import subprocess
import sys
from pathlib import Path

import google_crc32c
import pytest

from components import storage

_ROOT = Path(__file__).parents[3]


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Runs a script in a process of its own, which can be talked to and killed."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _all_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != "lock")


class TestCreate:
    def test_publishes_what_was_written_once_it_is_complete(self, tmp_path: Path) -> None:
        uri = storage.join(str(tmp_path), "deep", "below", "file")
        with storage.create(uri) as path:
            path.write_bytes(b"content")
            assert not storage.exists(uri)
        assert storage.read_bytes(uri) == b"content"

    def test_never_overwrites(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(FileExistsError), storage.create(str(tmp_path / "file")) as path:
            path.write_bytes(b"new")
        assert _all_files(tmp_path) == ["file"]
        assert (tmp_path / "file").read_bytes() == b"old"

    def test_leaves_nothing_when_the_writer_fails(self, tmp_path: Path) -> None:
        def write() -> None:
            with storage.create(str(tmp_path / "file")) as path:
                path.write_bytes(b"half of it")
                raise RuntimeError("gave up")

        with pytest.raises(RuntimeError, match="gave up"):
            write()
        assert _all_files(tmp_path) == []

    def test_leaves_nothing_when_the_writer_wrote_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError), storage.create(str(tmp_path / "file")):
            pass
        assert _all_files(tmp_path) == []

    def test_leaves_nothing_when_the_system_takes_no_more_bytes(self, tmp_path: Path) -> None:
        script = """if True:
            import resource, sys
            from components import storage
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            try:
                storage.write_bytes(sys.argv[1], bytes(100_000))
            except OSError as error:
                print(error.errno)
        """
        out, err = _start(script, tmp_path / "file").communicate()
        assert (out.strip(), err) == (str(errno.EFBIG), "")
        assert _all_files(tmp_path) == []

    def test_works_in_a_folder_that_was_removed_in_the_meantime(self, tmp_path: Path) -> None:
        uri = str(tmp_path / "folder" / "file")
        storage.write_bytes(uri, b"first")
        storage.remove_tree(str(tmp_path / "folder"))
        storage.write_bytes(uri, b"second")
        assert storage.read_bytes(uri) == b"second"

    def test_refuses_an_address_that_no_back_end_serves(self) -> None:
        with (
            pytest.raises(ValueError, match=r"Expected a path, or gs://<bucket>/<name>\. Received: s3://bucket/file"),
            storage.create("s3://bucket/file"),
        ):
            pass

    def test_of_processes_that_create_one_name_one_wins_and_its_content_is_whole(self, tmp_path: Path) -> None:
        script = """if True:
            import sys
            from components import storage
            folder, letter = sys.argv[1:]
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(200):
                try:
                    print(storage.write_bytes(f"{folder}/{number}/file", letter.encode() * 50_000))
                except FileExistsError:
                    print(False)
        """
        racers = {letter: _start(script, tmp_path, letter) for letter in "abc"}
        for racer in racers.values():
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers.values():
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        results = {letter: racer.communicate() for letter, racer in racers.items()}
        assert {err for _, err in results.values()} == {""}
        won = {letter: [line == "True" for line in out.split()] for letter, (out, _) in results.items()}
        for number in range(200):
            winners = [letter for letter in "abc" if won[letter][number]]
            assert len(winners) == 1
            assert (tmp_path / str(number) / "file").read_bytes() == winners[0].encode() * 50_000
        assert _all_files(tmp_path) == sorted(f"{number}/file" for number in range(200))

    @pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
    def test_manages_without_hard_links(self, tmp_path: Path, number: int) -> None:
        """The kernel itself refuses the system calls, as a file system without hard links does."""
        script = """if True:
            import ctypes, os, platform, struct, sys
            from components import storage
            uri, number = sys.argv[1], int(sys.argv[2])
            calls = {"x86_64": (86, 265), "aarch64": (37,)}.get(platform.machine(), ())
            load, jump_if_equal, give = 0x20, 0x15, 0x06
            program = struct.pack("HBBI", load, 0, 0, 0)
            for left, call in zip(range(len(calls), 0, -1), calls):
                program += struct.pack("HBBI", jump_if_equal, left, 0, call)
            program += struct.pack("HBBI", give, 0, 0, 0x7FFF0000) + struct.pack("HBBI", give, 0, 0, 0x00050000 | number)
            buffer = ctypes.create_string_buffer(program)
            rules = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
            libc = ctypes.CDLL(None, use_errno=True)
            if sys.platform != "linux" or not calls or libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, rules, 0, 0):
                sys.exit(77)
            try:
                os.link(__import__("components").__path__[0] + "/__init__.py", uri + ".link")
                sys.exit(77)
            except OSError as error:
                assert error.errno == number
            storage.write_bytes(uri, b"first")
            try:
                storage.write_bytes(uri, b"second")
            except FileExistsError:
                print("refused")
        """
        process = _start(script, tmp_path / "file", number)
        out, err = process.communicate()
        if process.returncode == 77:
            pytest.skip("this machine does not let a process forbid itself system calls")
        assert (out, err) == ("refused\n", "")
        assert _all_files(tmp_path) == ["file"]
        assert (tmp_path / "file").read_bytes() == b"first"


_HALF_WRITTEN = """if True:
    import sys
    from components import storage
    with storage.create(sys.argv[1]) as path:
        path.write_bytes(b"half")
        print("half", flush=True)
        sys.stdin.readline()
        path.write_bytes(b"all of it")
"""


class TestUnfinishedFiles:
    def test_what_a_killed_process_left_is_removed_by_the_next(self, tmp_path: Path) -> None:
        killed = _start(_HALF_WRITTEN, tmp_path / "killed")
        assert killed.stdout is not None
        assert killed.stdout.readline() == "half\n"
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        (left,) = _all_files(tmp_path)
        assert (tmp_path / left).read_bytes() == b"half"
        assert storage.list_names(str(tmp_path)) == []
        storage.write_bytes(str(tmp_path / "next"), b"")
        assert _all_files(tmp_path) == ["next"]

    def test_what_a_process_left_that_was_killed_before_it_had_a_lock_is_removed_by_the_next(self, tmp_path: Path) -> None:
        (tmp_path / ".partial" / "1-00000000").mkdir(parents=True)
        storage.write_bytes(str(tmp_path / "next"), b"")
        assert not (tmp_path / ".partial" / "1-00000000").exists()

    def test_what_a_live_process_is_writing_is_left_alone(self, tmp_path: Path) -> None:
        live = _start(_HALF_WRITTEN, tmp_path / "live")
        assert live.stdout is not None
        assert live.stdout.readline() == "half\n"
        storage.write_bytes(str(tmp_path / "other"), b"")
        _, err = live.communicate("go on\n")
        assert err == ""
        assert (tmp_path / "live").read_bytes() == b"all of it"

    def test_a_process_that_ends_leaves_nothing_but_what_it_published(self, tmp_path: Path) -> None:
        _, err = _start(_HALF_WRITTEN, tmp_path / "file").communicate("go on\n")
        assert err == ""
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


class TestWriteBytes:
    def test_says_whether_it_wrote(self, tmp_path: Path) -> None:
        uri = str(tmp_path / "file")
        assert storage.write_bytes(uri, b"same") is True
        assert storage.write_bytes(uri, b"same") is False

    def test_names_the_file_that_has_other_content(self, tmp_path: Path) -> None:
        uri = str(tmp_path / "file")
        storage.write_bytes(uri, b"one")
        with pytest.raises(FileExistsError, match=f"{uri} exists already with other content"):
            storage.write_bytes(uri, b"other")
        assert storage.read_bytes(uri) == b"one"


class TestReplaceBytes:
    def test_swaps_the_content(self, tmp_path: Path) -> None:
        uri = str(tmp_path / "below" / "pointer")
        storage.replace_bytes(uri, b"1")
        storage.replace_bytes(uri, b"2")
        assert storage.read_bytes(uri) == b"2"
        assert [path.name for path in (tmp_path / "below").iterdir()] == ["pointer"]


class TestTrees:
    def test_come_back_as_they_were_published(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "a" / "b").mkdir(parents=True)
        (tmp_path / "in" / "a" / "b" / "deep").write_bytes(b"1")
        (tmp_path / "in" / "top").write_bytes(b"2")
        storage.create_tree(tmp_path / "in", str(tmp_path / "published"))
        storage.fetch_tree(str(tmp_path / "published"), tmp_path / "out")
        assert _all_files(tmp_path / "out") == ["a/b/deep", "top"]
        assert (tmp_path / "out" / "a" / "b" / "deep").read_bytes() == b"1"
        assert not list((tmp_path / "out").rglob(".partial"))

    def test_replace_what_lies_in_the_folder_that_they_are_fetched_to(self, tmp_path: Path) -> None:
        storage.write_bytes(str(tmp_path / "published" / "file"), b"new")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "file").write_bytes(b"old")
        storage.fetch_tree(str(tmp_path / "published"), tmp_path / "out")
        assert (tmp_path / "out" / "file").read_bytes() == b"new"

    def test_that_do_not_exist_can_be_removed(self, tmp_path: Path) -> None:
        storage.remove_tree(str(tmp_path / "nothing"))

    def test_single_files_are_fetched_into_folders_that_do_not_exist_yet(self, tmp_path: Path) -> None:
        storage.write_bytes(str(tmp_path / "file"), b"content")
        storage.fetch(str(tmp_path / "file"), tmp_path / "new" / "copy")
        assert (tmp_path / "new" / "copy").read_bytes() == b"content"


class TestListNames:
    def test_is_sorted_and_without_unfinished_files(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            storage.write_bytes(str(tmp_path / name), b"")
        with storage.create(str(tmp_path / "c")) as path:
            path.write_bytes(b"")
            assert storage.list_names(str(tmp_path)) == ["a", "b"]

    def test_is_empty_where_there_is_no_folder(self, tmp_path: Path) -> None:
        assert storage.list_names(str(tmp_path / "nothing")) == []

    def test_lists_files_of_folders_below_by_their_paths_if_asked_to(self, tmp_path: Path) -> None:
        storage.write_bytes(str(tmp_path / "a"), b"1")
        storage.write_bytes(str(tmp_path / "b" / "c"), b"22")
        assert {name: file.num_bytes for name, file in storage.list_files(str(tmp_path)).items()} == {"a": 1}
        everything = storage.list_files(str(tmp_path), is_deep=True)
        assert {name: file.num_bytes for name, file in everything.items()} == {"a": 1, "b/c": 2}
        assert storage.list_files(str(tmp_path / "nothing"), is_deep=True) == {}


@pytest.mark.parametrize(
    ("uri", "parts", "joined"),
    [
        ("/data", ("raw", "x.png"), "/data/raw/x.png"),
        ("/data/", ("raw",), "/data/raw"),
        ("/", ("raw",), "/raw"),
        ("relative", ("raw",), "relative/raw"),
        ("gs://bucket", ("raw",), "gs://bucket/raw"),
        ("gs://bucket/data/", ("raw",), "gs://bucket/data/raw"),
    ],
)
def test_join_puts_one_slash_between_parts(uri: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(uri, *parts) == joined


def test_checksums_are_the_published_crc32c(tmp_path: Path) -> None:
    assert storage.crc32c(b"123456789") == "e3069283"  # the check value of CRC-32C in RFC 3720's polynomial
    data = bytes(range(256)) * 10_000  # more than is read at once
    (tmp_path / "file").write_bytes(data)
    assert storage.file_crc32c(tmp_path / "file") == storage.crc32c(data) == f"{google_crc32c.value(data):08x}"
