"""Takes a step with Keras on JAX: a program for tests, run with KERAS_BACKEND=jax.

python -m tests.components.train.on_jax <weights.npz> <answers.npz>
"""

import sys

import jax
import keras
import numpy as np

from components.train.augmentation import augment
from components.train.losses import LOSSES
from components.train.model import build_backbone, build_model

SIDE_PX = 16


def small_network() -> keras.Model:
    """The same network on every backend."""
    pixels = keras.Input((SIDE_PX, SIDE_PX, 3))
    features = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels)
    features = keras.layers.BatchNormalization()(features)
    return build_model(keras.Model(pixels, features), np.full(3, 60.0), np.full(3, 50.0), num_classes=4, dropout=0.0)


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, random draws for each, and labels."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return pixels, random.uniform(-1, 1, (8, 2)).astype(np.float32), random.integers(0, 2, (8, 4)).astype(np.float32)


def main() -> None:
    """Writes the logits, and the gradient of the loss; and runs InceptionResNetV2 once."""
    weights_path, answers_path = sys.argv[1:]
    assert keras.backend.backend() == "jax"
    network = small_network()
    with np.load(weights_path) as weights:
        network.set_weights([weights[name] for name in weights.files])
    pixels, draws, labels = batch()
    fixed = [variable.value for variable in network.non_trainable_variables]

    def loss(learning: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        images = augment(pixels, draws, rotation_turns=0.5, brightness=0.1)
        logits, _ = network.stateless_call(learning, fixed, images, training=False)
        return LOSSES["bce_soft_f1"](labels, logits).mean(), logits

    learning = [variable.value for variable in network.trainable_variables]
    gradients, logits = jax.jit(jax.grad(loss, has_aux=True))(learning)
    np.savez(answers_path, logits, *gradients)

    whole = build_backbone("inception_resnet_v2", 75, 3, "none")
    state = ([variable.value for variable in part] for part in (whole.trainable_variables, whole.non_trainable_variables))
    features, _ = jax.jit(whole.stateless_call)(*state, np.zeros((1, 75, 75, 3), np.float32))
    assert features.shape == (1, 1, 1, 1536)
    assert np.isfinite(features).all()


if __name__ == "__main__":
    main()
