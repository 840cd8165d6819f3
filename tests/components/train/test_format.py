"""Ties `FORMAT` to training results: each recipe's plan of an epoch, bit for bit, and its curves on a small network."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.train import fit
from components.train.checkpoint import Checkpoints
from components.train.devices import Devices
from components.train.inputs import plan_epoch
from components.train.model import build_model
from components.train.recipes import RECIPES
from components.train.settings import FORMAT

GOLDEN_FORMAT = 8
# The beginning of the SHA-256 of the second epoch's image numbers, symmetries and draws, and of the corners if there are crops.
GOLDEN_PLANS = {
    "paper": "1a759f6982c85dad",
    "strong": "1a759f6982c85dad",
    "plateau": "cb059b2282b0f6da",
    "high_resolution": "984842889fffb9bf",
}
GOLDEN_CURVES = {
    "paper": {
        "loss": [0.719682, 0.555482, 0.45547],
        "val_loss": [0.608344, 0.45409, 0.346502],
        "learning_rate": [0.001, 0.001, 0.001],
    },
    "strong": {
        "loss": [0.801616, 0.74114, 0.657905],
        "val_loss": [0.766234, 0.7127, 0.67643],
        "learning_rate": [0.000864736, 0.000359534, 8.41445e-06],
    },
    "plateau": {
        "loss": [0.829004, 0.720114, 0.568275],
        "val_loss": [0.764906, 0.647604, 0.503494],
        "learning_rate": [0.001, 0.001, 0.001],
    },
    "high_resolution": {
        "loss": [1.19653, 1.0395, 0.921863],
        "val_loss": [0.866332, 0.788014, 0.738311],
        "learning_rate": [0.000864736, 0.000359534, 8.41445e-06],
    },
}
# Processors differ by far less than this. Most changes of the code change some figure by more.
_TOLERANCE = 5e-4


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_training_requires_a_new_format(
    splits: dict[str, ExampleReader], make_backbone: Callable[[], keras.Model], tmp_path: Path, name: str
) -> None:
    """If this fails because training was changed on purpose: increment FORMAT in settings.py, and update the figures here."""
    recipe = replace(RECIPES[name], epochs=3)
    plan = plan_epoch(splits["train"], recipe, 0, 1)
    drawn = [plan.numbers, plan.symmetries, plan.draws, *([plan.corners] if recipe.crop < 1 else [])]
    planned = hashlib.sha256(b"".join(values.tobytes() for values in drawn)).hexdigest()
    network = build_model(make_backbone(), np.full(3, 60.0), np.full(3, 50.0), 3, recipe.dropout, pooling=recipe.pooling)
    devices = Devices(tf.distribute.get_strategy())
    checkpoints = Checkpoints(str(tmp_path))
    history = fit.train(network, splits["train"], splits["validation"], recipe, 0, checkpoints, devices)
    curves = {curve: history.curves[curve] for curve in ("loss", "val_loss", "learning_rate")}
    assert (FORMAT, planned[:16]) == (GOLDEN_FORMAT, GOLDEN_PLANS[name])
    assert curves == {curve: pytest.approx(values, rel=_TOLERANCE) for curve, values in GOLDEN_CURVES[name].items()}
