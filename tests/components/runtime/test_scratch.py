import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.runtime.progress import command_log
from components.runtime.scratch import find_left, remove_abandoned, scratch_folder, scratch_for_libraries

_ROOT = Path(__file__).parents[3]
_HALF_WRITTEN = """if True:
    import sys
    from components.runtime.scratch import scratch_folder
    with scratch_folder() as folder:
        (folder / "half").write_bytes(b"half")
        print(folder, flush=True)
        sys.stdin.readline()
"""
_BUSY = """if True:
    from components.runtime.scratch import scratch_folder
    for number in range(200):
        with scratch_folder() as folder:
            (folder / "file").write_text(str(number))
            assert (folder / "file").read_text() == str(number)
"""


def _start(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _start_and_kill() -> Path:
    with _start(_HALF_WRITTEN) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
    assert (folder / "half").read_bytes() == b"half"
    return folder


def test_folder_is_empty_and_private_and_leaves_nothing(temporary: Path) -> None:
    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []
        assert {path.stat().st_mode & 0o777 for path in temporary.iterdir()} == {0o700}
        (folder / "file").touch()
    assert list(temporary.iterdir()) == []


def test_folder_of_a_killed_process_is_removed_by_the_next_one(temporary: Path) -> None:
    killed = _start_and_kill()
    with scratch_folder() as folder:
        assert not killed.exists()
        assert folder.exists()
    assert list(temporary.iterdir()) == []


def test_folder_of_a_killed_process_is_removed_when_a_step_starts(temporary: Path) -> None:
    _start_and_kill()
    with command_log("test"):
        assert list(temporary.iterdir()) == []


def test_folder_of_a_killed_process_is_found(temporary: Path) -> None:
    killed = _start_and_kill()
    (place,) = find_left()
    assert place == killed.parent
    remove_abandoned(place)
    assert list(temporary.iterdir()) == []


def test_temporary_files_of_libraries_are_removed(temporary: Path) -> None:
    with scratch_for_libraries():
        made = [tempfile.mkdtemp(), subprocess.check_output(["mktemp", "-d"], text=True).strip()]
        assert all(len(Path(path).relative_to(temporary).parts) == 4 for path in made)
    assert list(temporary.iterdir()) == []
    assert (tempfile.gettempdir(), os.environ["TMPDIR"]) == (str(temporary), str(temporary))


@pytest.mark.parametrize("left", [[], ["file"]], ids=["before it had a lock", "while it removed the folder"])
def test_folder_without_a_lock_is_removed(temporary: Path, left: list[str]) -> None:
    place = temporary / f"hpa-pipeline-scratch-{os.getuid()}" / "1-00000000"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)
    for name in left:
        (place / name).touch()
    with scratch_folder():
        assert not place.exists()


def test_folder_of_a_live_process_is_kept(temporary: Path) -> None:
    with _start(_HALF_WRITTEN) as live:
        assert live.stdout
        folder = Path(live.stdout.readline().strip())
        with scratch_folder():
            assert find_left() == []
            remove_abandoned(folder.parent)
            assert folder.exists()
        live.communicate("go on\n")
    assert list(temporary.iterdir()) == []


def test_processes_do_not_interfere(temporary: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-c", _BUSY], cwd=_ROOT, check=True), range(3)))
    assert list(temporary.iterdir()) == []
