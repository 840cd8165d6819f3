"""The network, its augmentation and its losses are plain Keras: they compute the same on Keras's JAX backend."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.train.augmentation import augment
from components.train.losses import LOSSES

ROOT = Path(__file__).parents[3]


@pytest.mark.long
def test_the_network_computes_the_same_on_jax(tmp_path: Path) -> None:
    """On Keras's JAX backend, a network's outputs, augmentation, loss and gradients are as on TensorFlow."""
    pytest.importorskip("jax")
    from tests.components.train.on_jax import batch, small_network  # noqa: PLC0415

    network = small_network()
    np.savez(tmp_path / "weights.npz", *network.get_weights())
    command = [
        sys.executable,
        "-m",
        "tests.components.train.on_jax",
        *map(str, (tmp_path / "weights.npz", tmp_path / "out.npz")),
    ]
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    pixels, draws, labels = batch()
    with tf.GradientTape() as tape:
        logits = network(augment(pixels, draws, rotation_turns=0.5, brightness=0.1), training=False)
        loss = tf.reduce_mean(LOSSES["bce_soft_f1"](labels, logits))
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    with np.load(tmp_path / "out.npz") as found:
        for name, expected in zip(found.files, [logits, *gradients], strict=True):
            assert np.allclose(found[name], expected, rtol=1e-4, atol=1e-5)
