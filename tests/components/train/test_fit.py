from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from components.shared.manifest import Examples
from components.train import fit
from components.train.checkpoint import Checkpoints, History
from components.train.model import build_model
from components.train.recipes import RECIPES

RECIPE = replace(RECIPES["paper"], epochs=4, batch_size=16, learning_rate=0.01, rotation_turns=0.02, brightness=0.02)


def _network(backbone: keras.Model) -> keras.Model:
    return build_model(backbone, np.full(3, 60.0), np.full(3, 50.0), num_classes=3, dropout=0.1)


def test_a_network_learns_and_is_left_with_its_best_epochs_weights(
    examples: Examples, small_backbone: keras.Model, tmp_path: Path
) -> None:
    network = _network(small_backbone)
    history = fit.train(network, examples, replace(RECIPE, epochs=12), 0, Checkpoints(str(tmp_path)))
    losses = history.curves["val_loss"]
    assert min(losses) < 0.6 * losses[0]
    pixels, labels = zip(*fit.evaluation_batches(examples, "validation", 24).as_numpy_iterator(), strict=True)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)(labels[0], network(pixels[0].astype(np.float32), training=False))
    assert float(loss) == pytest.approx(min(losses), rel=1e-4)


def test_training_stops_when_validation_gets_no_better(examples: Examples, small_backbone: keras.Model, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=30, learning_rate=1e-12, patience=2)
    assert fit.train(_network(small_backbone), examples, recipe, 0, Checkpoints(str(tmp_path))).num_epochs < 30


def test_a_killed_training_carries_on_after_its_last_checkpoint(
    examples: Examples, small_backbone: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    before = fit.train(_network(small_backbone), examples, replace(RECIPE, epochs=2), 0, Checkpoints(str(tmp_path)))
    fresh = _network(keras.models.clone_model(small_backbone))
    after = fit.train(fresh, examples, RECIPE, 0, Checkpoints(str(tmp_path)))
    assert after.num_epochs == 4
    assert {name: values[:2] for name, values in after.curves.items()} == before.curves
    # A training that is complete in its checkpoint does not train again.
    again = fit.train(_network(keras.models.clone_model(small_backbone)), examples, RECIPE, 0, Checkpoints(str(tmp_path)))
    assert again.curves == after.curves


def test_a_loss_that_is_no_number_stops_training_and_says_what_to_try(
    examples: Examples, small_backbone: keras.Model, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"learning_rate=1e\+30. Try a smaller"):
        fit.train(_network(small_backbone), examples, recipe, 0, Checkpoints(str(tmp_path)))


def test_the_last_epoch_is_described_in_one_line() -> None:
    history = History({"loss": [0.5], "accuracy": [0.9], "val_loss": [0.4], "val_accuracy": [0.95]})
    expected = "epoch 1/5: loss 0.5000, accuracy 0.9000; validation loss 0.4000, accuracy 0.9500 (best so far)"
    assert history.describe_last(5) == expected
