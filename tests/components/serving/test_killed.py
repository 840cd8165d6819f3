"""Pushes and rollbacks that are killed before each of their changes to the file system in turn."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.serving.champion import find_champion
from components.serving.promotion import KEPT_VERSIONS, push_model, rollback
from components.serving.versions import find_damage, find_versions
from components.storage.store import open_store
from pipeline.compiled import ROOT
from tests.components.conftest import MakeModel, blessing, champion_generation

_CHANGES = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def _push(model: Path, serving: str) -> None:
    push_model(model, blessing(generation=champion_generation(serving)), serving, "hpa")


def _assert_whole_champion(serving: str) -> int:
    champion = find_champion(serving, "hpa")
    assert champion
    (version,) = [one for one in find_versions(f"{serving}/hpa") if one.number == champion.version]
    assert version.is_complete
    assert version.record
    assert find_damage(version.uri, version.record, version.record.files) == {}
    assert version.record.model_fingerprint == champion.model_fingerprint
    return champion.version


def kill_at_every_change(act: Callable[[], None], folder: Path, expected: int) -> int:
    """Kills an action at each of its changes in turn, in forks of this single-threaded process; another fork completes it.

    Returns:
        The number of changes that the action makes.
    """
    before, serving = folder / "before", folder / "serving"
    for number in range(1, 1000):
        shutil.rmtree(serving, ignore_errors=True)
        shutil.copytree(before, serving)
        status = _in_a_child(lambda number=number: (_die_at_change(number), act()))
        if status == 0:
            assert _assert_whole_champion(str(serving)) == expected
            return number - 1
        assert status == -signal.SIGKILL, status
        assert _assert_whole_champion(str(serving)) in (1, expected - 1, expected)
        # TensorFlow Serving takes the highest number, even if its model is incomplete.
        assert all(version.is_complete for version in find_versions(str(serving / "hpa"))), number
        assert _in_a_child(act) == 0, number
        assert _assert_whole_champion(str(serving)) == expected
    raise AssertionError("it never ends")


def _in_a_child(act: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _die_at_change(number: int) -> None:
    changes = 0

    def count(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal changes
        if event in _CHANGES:
            changes += 1
            if changes == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def kill_at_some_writes(model: Path, serving: str, expected: int) -> int:
    """Kills pushes to an object store before every third upload, copy or removal, until one completes.

    Returns:
        The number of kills.
    """
    for number in range(1, 1000, 3):
        status = _in_a_child(lambda number=number: (_die_at_write(number, serving), _push(model, serving)))
        if status == 0:
            assert _assert_whole_champion(serving) == max(one.number for one in find_versions(f"{serving}/hpa"))
            return number // 3
        assert status == -signal.SIGKILL, status
        assert _assert_whole_champion(serving) >= expected - 1
    raise AssertionError("it never ends")


def _die_at_write(number: int, uri: str) -> None:
    writes, backend = 0, type(open_store(uri))

    def count(name: str) -> None:
        write = getattr(backend, name)

        def counted(*arguments: object, **options: object) -> object:
            nonlocal writes
            writes += 1
            if writes == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*arguments, **options)

        setattr(backend, name, counted)

    for name in ("write", "upload", "copy", "remove", "swap"):
        count(name)


def main(action: str, place: str, model: Path, expected: int) -> None:
    if action == "push to an object store":
        print(kill_at_some_writes(model, place, expected))
        return
    folder, serving = Path(place), f"{place}/serving"
    acts = {"push": lambda: _push(model, serving), "rollback": lambda: rollback(1, serving, "hpa") and None}
    print(kill_at_every_change(acts[action], folder, expected))


def _kill(*arguments: object) -> int:
    command = [sys.executable, "-m", "tests.components.serving.test_killed", *map(str, arguments)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return int(finished.stdout)


def test_a_killed_push_leaves_the_champion_intact_and_is_completed(make_model: MakeModel, tmp_path: Path) -> None:
    for number in range(1, KEPT_VERSIONS + 1):  # so that the push also removes an old version
        _push(make_model(f"f{number}"), str(tmp_path / "before"))
    assert _kill("push", tmp_path, make_model("new"), KEPT_VERSIONS + 1) > 20


def test_a_killed_rollback_leaves_the_champion_intact_and_is_completed(make_model: MakeModel, tmp_path: Path) -> None:
    for name in ("f1", "f2"):
        _push(make_model(name), str(tmp_path / "before"))
    assert _kill("rollback", tmp_path, "-", 3) > 20


@pytest.mark.object_store
def test_a_killed_push_to_an_object_store_leaves_the_champion_intact(make_model: MakeModel, remote_root: str) -> None:
    _push(make_model("f1"), remote_root)
    assert _kill("push to an object store", remote_root, make_model("new"), 2) > 3
    assert [name for name in storage.list_names(f"{remote_root}/hpa") if not name.isdigit()] == ["champion.json"]
    assert all(version.is_complete for version in find_versions(f"{remote_root}/hpa"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
