import shutil
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.train.checkpoint import Checkpoint, Checkpoints
from components.train.checkpoint_writer import CheckpointWriter
from components.train.history import History
from tests.components.damaged_files import damages
from tests.object_stores import Faults, reset_after_it_is_done


def _checkpoint(num_steps: int, num_epochs: int = 0) -> Checkpoint:
    history = History({"loss": [0.5] * num_epochs, "val_loss": [1.0 - 0.1 * epoch for epoch in range(num_epochs)]}, [1.5])
    state: list[np.ndarray] = [
        np.full((3, 2), num_steps, np.float32),
        np.array(num_steps, np.int64),
        np.array([1, 2], np.uint32),
    ]
    return Checkpoint(num_steps, state, [np.full(4, num_epochs, np.float32)] if num_epochs else [], history)


def _equal(some: Checkpoint | None, other: Checkpoint) -> bool:
    assert some
    pairs = [*zip(some.state, other.state, strict=True), *zip(some.best_weights, other.best_weights, strict=True)]
    alike = all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)
    return alike and (some.num_steps, some.history) == (other.num_steps, other.history)


@pytest.mark.parametrize("place", ["local_root", "emulated_root"])
def test_a_saved_checkpoint_is_restored(place: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(place)
    saved = _checkpoint(7, num_epochs=2)
    Checkpoints(f"{root}/checkpoints").save(saved)
    assert _equal(Checkpoints(f"{root}/checkpoints").newest(), saved)


@pytest.mark.object_store
@pytest.mark.usefixtures("impatient_stores")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
def test_checkpoint_is_saved_despite_a_lost_response(remote_root: str, faults: Faults) -> None:
    for number, disturbed in faults.each_request(reset_after_it_is_done):
        with disturbed:
            Checkpoints(f"{remote_root}/{number}").save(_checkpoint(7, num_epochs=2))
            assert _equal(Checkpoints(f"{remote_root}/{number}").newest(), _checkpoint(7, num_epochs=2))


def test_the_validated_epoch_comes_after_its_last_step(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(6, num_epochs=0))
    checkpoints.save(_checkpoint(6, num_epochs=1))
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(6, num_epochs=1))


@pytest.mark.parametrize("name", ["000000002-00001/state.npz", "best-00001/weights.npz", "000000002-00001/checkpoint.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "braces"])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(1))
    checkpoints.save(_checkpoint(2, num_epochs=1))
    (newest,) = tmp_path.glob(f"*/{name}")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes({"flipped": bytes(content), "cut": bytes(content[:100]), "empty": b"", "braces": b"{}"}[damage])
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(1))
    assert "cannot be read" in caplog.text


def test_a_complete_checkpoint_is_found_for_any_damage_to_the_newest_mark(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(1))
    checkpoints.save(_checkpoint(2, num_epochs=1))
    mark = max(tmp_path.glob("*/*/checkpoint.json"))
    for damaged in damages(mark.read_bytes(), num_cases=100):
        mark.write_bytes(damaged)
        found = Checkpoints(str(tmp_path)).newest()
        assert found
        assert _equal(found, _checkpoint(found.num_steps, num_epochs=found.num_steps - 1)), damaged


def test_without_its_mark_there_is_no_checkpoint(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).save(_checkpoint(1))
    (mark,) = tmp_path.glob("*/*/checkpoint.json")
    mark.unlink()
    assert Checkpoints(str(tmp_path)).newest() is None


def test_the_best_weights_are_written_once_and_kept_while_needed(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(1, num_epochs=1))
    (best,) = tmp_path.glob("*/best-00001/weights.npz")
    written = best.stat()
    checkpoints.save(_checkpoint(2, num_epochs=1))
    assert best.stat() == written
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(2, num_epochs=1))
    checkpoints.save(_checkpoint(3, num_epochs=2))
    assert sorted(path.name for path in tmp_path.glob("*/best-*")) == ["best-00001", "best-00002"]
    checkpoints.save(_checkpoint(4, num_epochs=2))
    assert [path.name for path in tmp_path.glob("*/best-*")] == ["best-00002"]
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(4, num_epochs=2))


def test_weights_that_another_attempt_removed_are_written_again(tmp_path: Path) -> None:
    slow, fast = Checkpoints(str(tmp_path)), Checkpoints(str(tmp_path))
    slow.save(_checkpoint(10, 1))
    for num_steps in (20, 30, 40):
        fast.save(_checkpoint(num_steps, 1))
    for num_steps in (50, 60, 70):
        slow.save(_checkpoint(num_steps, 1))
    found = Checkpoints(str(tmp_path)).newest()
    assert found
    assert found.num_steps == 70


def test_a_save_whose_files_another_attempt_removes_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, file_crc32c = Checkpoints(str(tmp_path / "checkpoints")), storage.file_crc32c

    def remove_first(path: Path) -> str:
        shutil.rmtree(tmp_path / "checkpoints")
        return file_crc32c(path)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "file_crc32c", remove_first)
        checkpoints.save(_checkpoint(1))
    assert "no checkpoint was saved: another run of the same training has removed" in caplog.text
    assert checkpoints.newest() is None
    checkpoints.save(_checkpoint(2))
    assert _equal(checkpoints.newest(), _checkpoint(2))


def test_a_checkpoint_of_an_earlier_version_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "0a1b2c3d" / "000000002-00000"
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text('{"num_steps": 2, "history": {}, "crc32c": {"state.npz": "", "best.npz": ""}}')
    assert Checkpoints(str(tmp_path)).newest() is None
    assert "000000002-00000 cannot be read (it is from another version)" in caplog.text


def test_each_attempt_starts_from_the_newest_checkpoint_and_keeps_its_last_two(tmp_path: Path) -> None:
    first, second = Checkpoints(str(tmp_path)), Checkpoints(str(tmp_path))
    for num_steps in (1, 2, 3):
        first.save(_checkpoint(num_steps))
    second.save(_checkpoint(2))
    names = sorted(path.parent.name for path in tmp_path.glob("*/*/checkpoint.json"))
    assert names == ["000000002-00000", "000000002-00000", "000000003-00000"]
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(3))
    second.save(_checkpoint(4))
    second.save(_checkpoint(5))
    assert len(list(tmp_path.iterdir())) == 1  # older attempts are removed


def test_a_writer_saves_one_checkpoint_at_a_time(tmp_path: Path) -> None:
    writer = CheckpointWriter(Checkpoints(str(tmp_path)))
    for num_steps in (1, 2, 3):
        writer.save(_checkpoint(num_steps))
    writer.close()
    assert writer.is_idle
    assert _equal(Checkpoints(str(tmp_path)).newest(), _checkpoint(3))


def test_a_failed_save_is_raised_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    Path(checkpoints._attempt_uri).touch()  # where a folder should be
    writer = CheckpointWriter(checkpoints)
    writer.save(_checkpoint(1))
    with pytest.raises(OSError, match=r"\[Errno"):
        writer.wait()
    assert writer.is_idle
    writer.save(_checkpoint(1))
    writer.close()
    with pytest.raises(OSError, match=r"\[Errno"):
        _ = writer.is_idle
