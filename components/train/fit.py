"""The training loop: Keras's `fit`, with curves, early stopping, checkpoints and progress around it."""

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from components.shared.manifest import Examples
from components.shared.progress import progress_bar
from components.train.checkpoint import Checkpoints, History
from components.train.inputs import evaluation_batches, steps_per_epoch, training_batches
from components.train.model import augmentation, follow_short_epochs
from components.train.recipes import Recipe

_log = logging.getLogger(__name__)

# A checkpoint is written after an epoch when this long has passed since the last one.
SECONDS_BETWEEN_CHECKPOINTS = 120.0


def train(network: keras.Model, examples: Examples, recipe: Recipe, seed: int, checkpoints: Checkpoints) -> History:
    """Trains a network in place, from the newest checkpoint if there is one, and leaves it with the weights of its best epoch.

    Args:
        network: From float32 pixels to logits, as `model.build_model` makes it.
        examples: What to train and to validate on.
        recipe: How.
        seed: Of the order of the data and of the augmentation.
        checkpoints: Where to carry on from, and to save to.

    Returns:
        The curves.

    Raises:
        FloatingPointError: If the loss is no number any more.
    """
    num_steps = steps_per_epoch(examples, recipe.batch_size)
    follow_short_epochs(network, num_steps)
    shape = network.input_shape[1:]
    augment = augmentation(shape, recipe.rotation_turns, recipe.brightness, seed)
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    model = keras.Model(pixels, network(augment(pixels)))
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],  # a logit of 0 is a probability of 0.5
        jit_compile=False,
    )
    # Otherwise Keras creates the optimiser's variables while it traces the first step, and has to trace it twice.
    model.optimizer.build(model.trainable_variables)
    history, best_weights = checkpoints.restore(model)
    validation = evaluation_batches(examples, "validation", recipe.batch_size)
    images_per_step = min(recipe.batch_size, examples.num_records("train"))
    saved_s = time.monotonic()
    with progress_bar((recipe.epochs - history.num_epochs) * num_steps * images_per_step, "images") as progress:
        while history.num_epochs < recipe.epochs and not history.is_exhausted(recipe.patience):
            batches = training_batches(examples, recipe.batch_size, seed, epoch=history.num_epochs)
            watch = _Watch(progress, recipe, history.num_epochs, images_per_step)
            logs = model.fit(batches, validation_data=validation, callbacks=[watch], shuffle=False, verbose=0).history
            history.append({name: values[0] for name, values in logs.items()})
            _check_finite(history.curves["val_loss"][-1], "validation loss", f"epoch {history.num_epochs}", recipe)
            if history.best_epoch == history.num_epochs - 1:
                best_weights = network.get_weights()
            _log.info("%s", history.describe_last(recipe.epochs))
            if time.monotonic() - saved_s >= SECONDS_BETWEEN_CHECKPOINTS:
                checkpoints.save(model, best_weights, history)
                saved_s = time.monotonic()
    if history.num_epochs < recipe.epochs:
        _log.info("stopped early: no better validation loss for %d epochs", recipe.patience)
    network.set_weights(best_weights)
    return history


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows progress, and stops a training whose loss is no number."""

    def __init__(self, progress: Any, recipe: Recipe, epoch: int, images_per_step: int) -> None:
        super().__init__()
        self._progress, self._recipe, self._epoch, self._images_per_step = progress, recipe, epoch, images_per_step

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        _check_finite(logs["loss"], "loss", f"step {batch + 1} of epoch {self._epoch + 1}", self._recipe)
        if not self._progress.n:
            # The first step, in which TensorFlow builds the graph, says nothing about the time that the others will take.
            self._progress.unpause()
        self._progress.update(self._images_per_step)


def _check_finite(value: float, name: str, place: str, recipe: Recipe) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The {name} is {value} at {place}, with learning_rate={recipe.learning_rate}. Try a smaller learning_rate."
        )


def prepare_device() -> None:
    """Sets TensorFlow up for the device there is, and refuses the CPU of a machine whose GPU TensorFlow cannot use.

    Raises:
        RuntimeError: If there is an NVIDIA device and TensorFlow sees none.
    """
    present = sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    visible = tf.config.list_physical_devices("GPU")
    if present and not visible and not hidden:
        raise RuntimeError(
            f"This machine has a GPU ({', '.join(present)}) that TensorFlow {tf.__version__} cannot use. Install "
            "tensorflow[and-cuda] and a driver for it, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on purpose."
        )
    if not visible:
        # On a CPU, Grappler's rewriting of the training graph takes longer than it saves in a short training, and the rate
        # with and without it is the same within the noise.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    _log.info("training on %s", ", ".join(device.name for device in visible) or "the CPU")
