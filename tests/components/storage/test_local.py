"""Local storage alone: locks, hard links, and the unfinished files of killed processes."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components import storage
from components.storage import SwappedMeanwhileError
from components.storage import local as local_storage

_ROOT = Path(__file__).parents[3]


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Starts a script in a process with pipes."""
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
    def test_full_disk_leaves_no_file(self, tmp_path: Path) -> None:
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

    @pytest.mark.parametrize(
        "act", ["store(Path(source), target)", "fetch(source, Path(target))", "replace_bytes(target, large)"]
    )
    def test_full_disk_error_names_the_target_file(self, tmp_path: Path, act: str) -> None:
        (tmp_path / "source").write_bytes(bytes(100_000))
        script = f"""if True:
            import resource, sys
            from pathlib import Path
            from components import storage
            source, target = sys.argv[1:]
            large = bytes(100_000)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            try:
                storage.{act}
            except OSError as error:
                print(error)
        """
        out, err = _start(script, tmp_path / "source", tmp_path / "target").communicate()
        assert (out.strip(), err) == (f"[Errno {errno.EFBIG}] File too large: '{tmp_path}/target'", "")

    def test_only_one_of_several_processes_succeeds(self, tmp_path: Path) -> None:
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
    def test_works_without_hard_links(self, tmp_path: Path, number: int) -> None:
        """The kernel refuses the system calls, like a file system without hard links."""
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
    def test_of_a_killed_process_are_removed_by_the_next_write(self, tmp_path: Path) -> None:
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

    def test_of_a_process_killed_before_it_had_a_lock_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".partial" / "1-00000000").mkdir(parents=True)
        storage.write_bytes(str(tmp_path / "next"), b"")
        assert not (tmp_path / ".partial" / "1-00000000").exists()

    def test_of_a_live_process_are_kept(self, tmp_path: Path) -> None:
        live = _start(_HALF_WRITTEN, tmp_path / "live")
        assert live.stdout is not None
        assert live.stdout.readline() == "half\n"
        storage.write_bytes(str(tmp_path / "other"), b"")
        _, err = live.communicate("go on\n")
        assert err == ""
        assert (tmp_path / "live").read_bytes() == b"all of it"

    def test_are_removed_when_the_process_ends(self, tmp_path: Path) -> None:
        _, err = _start(_HALF_WRITTEN, tmp_path / "file").communicate("go on\n")
        assert err == ""
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        storage.write_bytes(str(tmp_path / "file"), b"")


def test_replace_leaves_no_temporary_files(tmp_path: Path) -> None:
    storage.replace_bytes(str(tmp_path / "pointer"), b"1")
    assert _all_files(tmp_path) == ["pointer"]


def test_broken_links_are_not_listed_as_files(tmp_path: Path) -> None:
    for name, target in (("circle", "circle"), ("nowhere", "missing")):
        (tmp_path / name).symlink_to(target)
    assert storage.list_files(str(tmp_path)) == storage.list_files(str(tmp_path), is_deep=True) == {}
    assert storage.list_names(str(tmp_path)) == ["circle", "nowhere"]


def _swap_in_a_process(uri: str, letter: str, generation: str) -> bool:
    try:
        storage.swap(uri, letter.encode(), generation)
    except SwappedMeanwhileError:
        return False
    return True


def test_only_one_of_several_processes_swaps(tmp_path: Path) -> None:
    uri = str(tmp_path / "pointer")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_swap_in_a_process, [(uri, letter, "") for letter in "abcdefgh"], chunksize=1)
    (winner,) = [letter for letter, has_won in zip("abcdefgh", won, strict=True) if has_won]
    assert Path(uri).read_text() == winner


def _generation(uri: str) -> str:
    found = storage.read_with_generation(uri)
    assert found
    return found[1]


def _die_in_the_middle(uri: str, generation: str) -> None:
    local_storage._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    storage.swap(uri, b"new", generation)


def test_a_kill_during_a_swap_keeps_the_old_content(tmp_path: Path) -> None:
    uri = str(tmp_path / "pointer")
    storage.swap(uri, b"old", "")
    process = multiprocessing.get_context("spawn").Process(target=_die_in_the_middle, args=(uri, _generation(uri)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert storage.read_with_generation(uri) == (b"old", _generation(uri))
    (left,) = storage.find_unfinished(str(tmp_path))
    assert _all_files(left) == [next(left.glob("*.pointer")).name]
    storage.sweep(str(tmp_path))
    storage.swap(uri, b"new", _generation(uri))
    assert Path(uri).read_bytes() == b"new"
    assert _all_files(tmp_path) == [".pointer.lock", "pointer"]
