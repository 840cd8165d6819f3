from pathlib import Path

import keras
import numpy as np
import pytest

from components.train.checkpoint import Checkpoints, History


def _model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _train(model: keras.Model, steps: int) -> None:
    for step in range(steps):
        model.train_on_batch(np.full((2, 4), step + 1.0), np.ones((2, 3)))


def _history(num_epochs: int) -> History:
    return History({"loss": [0.5] * num_epochs, "val_loss": [1.0 - 0.1 * epoch for epoch in range(num_epochs)]})


def test_a_restored_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    model = _model(0)
    _train(model, 3)
    Checkpoints(str(tmp_path)).save(model, model.get_weights(), _history(1))
    _train(model, 3)
    other = _model(1)
    history, best = Checkpoints(str(tmp_path)).restore(other)
    assert history.num_epochs == 1
    assert len(best) == 2
    _train(other, 3)  # the optimiser's moments count too: they make the difference here
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, checkpoints = _model(0), Checkpoints(str(tmp_path))
    for epoch in (1, 2):
        _train(model, 1)
        checkpoints.save(model, model.get_weights(), _history(epoch))
    (newest,) = tmp_path.glob("*/00002/model.weights.h5")
    newest.write_bytes(newest.read_bytes()[:1000])
    history, _ = Checkpoints(str(tmp_path)).restore(_model(1))
    assert history.num_epochs == 1
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("name", ["model.weights.h5", "best.npz", "state.json"])
@pytest.mark.parametrize("damage", ["flipped", "empty", "braces"])
def test_whatever_is_damaged_is_noticed_before_it_is_loaded(tmp_path: Path, name: str, damage: str) -> None:
    model = _model(0)
    Checkpoints(str(tmp_path)).save(model, model.get_weights(), _history(1))
    (path,) = tmp_path.glob(f"*/00001/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes({"flipped": bytes(content), "empty": b"", "braces": b"{}"}[damage])
    other = _model(1)
    before = other.get_weights()
    assert Checkpoints(str(tmp_path)).restore(other) == (History(), [])
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_without_its_state_file_there_is_no_checkpoint(tmp_path: Path) -> None:
    Checkpoints(str(tmp_path)).save(_model(0), [], _history(1))
    (state,) = tmp_path.glob("*/00001/state.json")
    state.unlink()
    assert Checkpoints(str(tmp_path)).restore(_model(1)) == (History(), [])


def test_each_attempt_starts_from_the_newest_of_all_and_keeps_its_last_two(tmp_path: Path) -> None:
    first, second = Checkpoints(str(tmp_path)), Checkpoints(str(tmp_path))
    for epoch in (1, 2, 3):
        first.save(_model(0), [], _history(epoch))
    second.save(_model(0), [], _history(2))
    assert sorted(path.parent.name for path in tmp_path.glob("*/*/state.json")) == ["00002", "00002", "00003"]
    assert Checkpoints(str(tmp_path)).restore(_model(1))[0].num_epochs == 3


def test_patience_counts_the_epochs_since_the_best() -> None:
    history = History({"loss": [1, 1, 1, 1], "val_loss": [0.9, 0.5, 0.6, 0.5]})
    assert history.best_epoch == 1
    assert history.is_exhausted(patience=2)
    assert not history.is_exhausted(patience=3)
