import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.train import fit
from components.train.checkpoint import Checkpoints
from components.train.devices import Devices
from components.train.history import History
from components.train.inputs import plan_epoch, training_batches
from components.train.learner import Learner
from components.train.model import build_model
from components.train.precision import computing_in
from components.train.recipes import RECIPES, Recipe

RECIPE = replace(RECIPES["paper"], epochs=4, batch_size=16, learning_rate=0.01, rotation_turns=0.02, brightness=0.02)
# With features that no recipe combines.
STRONG = replace(
    RECIPES["strong"],
    epochs=4,
    batch_size=16,
    learning_rate=0.01,
    rotation_turns=0.02,
    brightness=0.02,
    loss="focal",
    oversampling=0.5,
    crop=0.75,
)

MakeBackbone = Callable[[], keras.Model]


def _network(backbone: keras.Model) -> keras.Model:
    return build_model(backbone, np.full(3, 60.0), np.full(3, 50.0), num_classes=3, dropout=0.1)


def _train(
    backbone: keras.Model, splits: dict[str, ExampleReader], recipe: Any, folder: Path, **options: Any
) -> tuple[History, list[Any]]:
    network = _network(backbone)
    devices = Devices(tf.distribute.get_strategy())
    history = fit.train(network, splits["train"], splits["validation"], recipe, 0, Checkpoints(str(folder)), devices, **options)
    return history, network.get_weights()


def _alike(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.fixture
def eager_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves after every step."""
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


def test_a_network_learns_and_ends_with_the_best_epochs_weights(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path
) -> None:
    network = _network(make_backbone())
    devices = Devices(tf.distribute.get_strategy())
    history = fit.train(
        network, splits["train"], splits["validation"], replace(RECIPE, epochs=12), 0, Checkpoints(str(tmp_path)), devices
    )
    losses = history.val_losses
    assert min(losses) < 0.6 * losses[0]
    assert max(history.curves["val_f1_macro"]) > 0.9
    (pixels,) = splits["validation"].batches(24)
    labels = splits["validation"].labels.astype(np.float32)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)(labels, network(pixels.astype(np.float32), training=False))
    assert float(loss) == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_strong_recipe_learns_in_every_precision(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path, precision: str
) -> None:
    with computing_in(precision):
        history, weights = _train(make_backbone(), splits, STRONG, tmp_path)
    assert history.curves["val_f1_macro"][-1] > 0.8
    assert {weight.dtype.name for weight in weights} <= {"float32", "uint32", "int64"}


def test_only_the_head_learns_in_the_warmup(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path
) -> None:
    backbone = make_backbone()
    before = [variable.numpy() for variable in backbone.trainable_variables]
    statistics = [variable.numpy() for variable in backbone.non_trainable_variables]
    _train(backbone, splits, replace(STRONG, epochs=1, average_decay=0.0), tmp_path)
    assert _alike(before, [variable.numpy() for variable in backbone.trainable_variables])
    # Batch normalisation's averages become those of the new images.
    assert not _alike(statistics, [variable.numpy() for variable in backbone.non_trainable_variables])
    _train(backbone, splits, replace(STRONG, epochs=2, average_decay=0.0), tmp_path / "longer")
    assert not _alike(before, [variable.numpy() for variable in backbone.trainable_variables])


def test_the_backbone_starts_with_the_updates_of_a_new_optimiser(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone
) -> None:
    plan = partial(plan_epoch, splits["train"], STRONG, 0)
    batches = list(training_batches(splits["train"], plan, range(9)))

    def learner(warmup_epochs: int) -> Learner:
        network = build_model(make_backbone(), np.full(3, 60.0), np.full(3, 50.0), num_classes=3, dropout=0.0)
        return Learner(network, replace(STRONG, warmup_epochs=warmup_epochs), 6, tf.distribute.get_strategy())

    warmed_up, new = learner(warmup_epochs=1), learner(warmup_epochs=0)
    for batch in batches[:6]:
        warmed_up.step(batch, 0.01)
    new.network.set_weights(warmed_up.network.get_weights())
    for batch in batches[6:]:
        for one in (warmed_up, new):
            one.step(batch, 0.01)
        assert _alike(warmed_up.network.get_weights(), new.network.get_weights())


def test_training_stops_when_validation_does_not_improve(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=30, learning_rate=1e-12, patience=2)
    assert _train(make_backbone(), splits, recipe, tmp_path)[0].num_epochs < 30


class _KilledError(Exception):
    """Simulates a kill: nothing catches it."""


# Each of the three epochs has six steps, with a save after each and another after validation.
_QUICK_SAVES, _ALL_SAVES = (1, 7, 8), range(1, 22)


@pytest.fixture(scope="module", params=[RECIPE, STRONG], ids=["paper", "strong"])
def uninterrupted(
    request: pytest.FixtureRequest,
    splits: dict[str, ExampleReader],
    make_backbone: MakeBackbone,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Recipe, History, list[np.ndarray]]:
    """A recipe, and the result of an uninterrupted training."""
    recipe = replace(request.param, epochs=3)
    return recipe, *_train(make_backbone(), splits, recipe, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "save", [pytest.param(save, marks=[] if save in _QUICK_SAVES else pytest.mark.long) for save in _ALL_SAVES]
)
@pytest.mark.usefixtures("eager_saving")
def test_a_killed_training_resumes_bit_for_bit(
    uninterrupted: tuple[Recipe, History, list[np.ndarray]],
    splits: dict[str, ExampleReader],
    make_backbone: MakeBackbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save: int,
) -> None:
    """A training run killed after any save ends with the same curves and weights as an uninterrupted one."""
    recipe, history, weights = uninterrupted
    really_save, saves = fit._Training._save, []

    def save_and_die(training: fit._Training) -> None:
        really_save(training)
        training._writer.wait()
        saves.append(training.learner.num_steps)
        if len(saves) == save:
            raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr(fit._Training, "_save", save_and_die)
        with pytest.raises(_KilledError):
            _train(make_backbone(), splits, recipe, tmp_path / "killed")
    again, found = _train(make_backbone(), splits, recipe, tmp_path / "killed")
    assert again.curves == history.curves
    assert _alike(found, weights)


@pytest.mark.usefixtures("eager_saving")
def test_a_finished_training_does_not_train_again(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path
) -> None:
    first, weights = _train(make_backbone(), splits, RECIPE, tmp_path)
    epochs: list[int] = []
    again, found = _train(make_backbone(), splits, RECIPE, tmp_path, on_epoch=lambda history: epochs.append(history.num_epochs))
    assert again == first
    assert _alike(found, weights)
    assert epochs == []


@pytest.mark.parametrize(("before", "after"), [("float16", "float32"), ("float32", "float16")])
@pytest.mark.usefixtures("eager_saving")
def test_a_training_resumes_if_auto_means_another_precision(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path, before: str, after: str
) -> None:
    with computing_in(before):
        first, _ = _train(make_backbone(), splits, replace(RECIPE, epochs=2), tmp_path)
    with computing_in(after):
        history, _ = _train(make_backbone(), splits, replace(RECIPE, epochs=3), tmp_path)
    assert {name: curve[:2] for name, curve in history.curves.items()} == first.curves
    assert history.val_losses[2] < history.val_losses[0]


@pytest.mark.usefixtures("eager_saving")
def test_the_state_of_another_network_is_refused(
    splits: dict[str, ExampleReader], make_backbone: MakeBackbone, small_backbone: keras.Model, tmp_path: Path
) -> None:
    _train(make_backbone(), splits, replace(RECIPE, epochs=1), tmp_path)
    deeper = keras.Model(small_backbone.input, keras.layers.Conv2D(4, 1)(small_backbone.output))
    with pytest.raises(ValueError, match="it is the state of another training"):
        _train(deeper, splits, replace(RECIPE, epochs=2), tmp_path)


def test_sigterm_saves_a_checkpoint(splits: dict[str, ExampleReader], make_backbone: MakeBackbone, tmp_path: Path) -> None:
    def stop(_history: History) -> None:
        signal.raise_signal(signal.SIGTERM)

    def leave(*_: object) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(SystemExit):
            _train(make_backbone(), splits, RECIPE, tmp_path, on_epoch=stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    found = Checkpoints(str(tmp_path)).newest()
    assert found
    assert (found.num_steps, found.history.num_epochs) == (6, 1)


@pytest.mark.parametrize("seconds_between_checkpoints", [0.0, 120.0])
def test_a_nan_loss_stops_training_with_advice(
    splits: dict[str, ExampleReader],
    make_backbone: MakeBackbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds_between_checkpoints: float,
) -> None:
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", seconds_between_checkpoints)
    recipe = replace(RECIPE, learning_rate=1e30)
    message = r"at step \d of epoch 1, with a learning rate of 1e\+30\. Try a smaller learning_rate"
    with pytest.raises(FloatingPointError, match=message):
        _train(make_backbone(), splits, recipe, tmp_path)
    # None of it is saved.
    found = Checkpoints(str(tmp_path)).newest()
    assert found is None or found.num_steps < 3
