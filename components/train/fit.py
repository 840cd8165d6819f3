"""The training loop: steps and epochs, with curves, early stopping, checkpoints and progress."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.runtime.progress import progress_bar
from components.train.checkpoint import Checkpoint, Checkpoints
from components.train.checkpoint_writer import CheckpointWriter
from components.train.devices import Devices
from components.train.history import History
from components.train.inputs import Epoch, images_per_step, plan_epoch, steps_per_epoch, training_batches
from components.train.learner import Learner
from components.train.model import follow_short_epochs
from components.train.recipes import Recipe
from components.train.schedule import learning_rate
from components.train.validation import Validation

_log = logging.getLogger(__name__)

# Seconds since the last checkpoint after which another is written: between steps, and after an epoch.
SECONDS_BETWEEN_CHECKPOINTS = 120.0
_SECONDS_BETWEEN_EPOCH_CHECKPOINTS = 60.0
# Losses are read from the device after this many steps. In between, the host does not wait for the device.
_STEPS_BETWEEN_CHECKS = 20


def train(
    network: keras.Model,
    examples: ExampleReader,
    validation_examples: ExampleReader,
    recipe: Recipe,
    seed: int,
    checkpoints: Checkpoints,
    devices: Devices,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> History:
    """Trains a network in place, from the newest checkpoint if there is one. It ends with the weights of its best epoch.

    Args:
        network: From float32 pixels to logits, made by `model.build_model`.
        examples: The training split.
        validation_examples: The validation split.
        recipe: The recipe.
        seed: Seeds the order of the data and the augmentation.
        checkpoints: Where to resume from and save to.
        devices: The devices to train on.
        on_epoch: Called after each epoch.

    Returns:
        The curves.

    Raises:
        FloatingPointError: If a loss is not finite: within 20 steps, and before the affected weights are saved.
    """
    _log.info("%d examples to train on", len(examples))
    num_steps = steps_per_epoch(examples, recipe.batch_size)
    follow_short_epochs(network, num_steps)
    with devices.strategy.scope():
        learner = Learner(network, recipe, num_steps, devices.strategy)
    training = _Training(learner, recipe, checkpoints, devices)
    history, validation = training.history, Validation(network, validation_examples, recipe)
    plan = lru_cache(maxsize=2)(partial(plan_epoch, examples, recipe, seed))  # readers are ahead by up to an epoch
    batches = _batches(examples, plan, range(learner.num_steps, recipe.epochs * num_steps), devices)
    size = images_per_step(examples, recipe.batch_size)
    with training.saved(), progress_bar(recipe.epochs * num_steps * size, "images") as progress:
        progress.update(learner.num_steps * size)
        progress.unpause()
        while history.num_epochs < recipe.epochs and not history.is_exhausted(recipe.patience):
            started_s, first_step = time.monotonic(), learner.num_steps - history.num_epochs * num_steps
            for _ in range(first_step, num_steps):
                training.step(next(batches), num_steps)
                if learner.num_steps == 1:
                    # In the first step TensorFlow builds the graph, so its duration is not representative.
                    progress.unpause()
                progress.update(size)
            training.check_losses()
            training.finish_epoch(validation, (num_steps - first_step) * size / (time.monotonic() - started_s))
            _log.info("%s", history.describe_last(recipe.epochs))
            on_epoch(history)
    if history.num_epochs < recipe.epochs:
        _log.info("stopped early: the validation loss has not improved for %d epochs", recipe.patience)
    network.set_weights(training.best_weights)
    return history


class _Training:
    """A learner with its history. `_is_whole` is False while its network temporarily has other weights."""

    def __init__(self, learner: Learner, recipe: Recipe, checkpoints: Checkpoints, devices: Devices) -> None:
        """Resumes from the newest checkpoint, if there is one."""
        self.learner, self._recipe, self._devices = learner, recipe, devices
        self.history, self.best_weights = History(), list[np.ndarray]()
        if found := checkpoints.newest():
            learner.restore(found.state)
            self.history, self.best_weights = found.history, list(found.best_weights)
        self._writer = CheckpointWriter(checkpoints)
        self._saved_s = time.monotonic()
        self._is_whole = True
        self._unread: list[tuple[tf.Tensor, str, float]] = []  # losses, with their steps and learning rates

    def step(self, batch: Any, steps_per_epoch: int) -> None:
        """Takes a step, and saves every few minutes."""
        num_before, epoch = self.learner.num_steps, self.history.num_epochs
        rate = learning_rate(self._recipe, num_before / steps_per_epoch, self.history.val_losses)
        place = f"step {num_before + 1 - epoch * steps_per_epoch} of epoch {epoch + 1}"
        self._unread.append((self.learner.step(batch, rate), place, rate))
        if len(self._unread) >= _STEPS_BETWEEN_CHECKS:
            self.check_losses()
        # A checkpoint that is still being written delays the next one, not the step.
        if self._is_due(SECONDS_BETWEEN_CHECKPOINTS) and self._writer.is_idle:
            self._save()

    def finish_epoch(self, validation: Validation, images_per_s: float) -> None:
        """Validates the learned weights, and keeps them if they are the best so far."""
        learned = self.learner.learned_weights()
        self._is_whole = False
        with _weights(self.learner.network, learned):
            figures = validation.judge()
        self._is_whole = True
        rate = self.learner.learning_rate
        _check_finite(figures["val_loss"], "validation loss", f"epoch {self.history.num_epochs + 1}", rate)
        if figures["val_loss"] < min(self.history.val_losses, default=math.inf):
            self.best_weights = learned
        loss, accuracy = self.learner.epoch_means()
        self.history.append({"loss": loss, "accuracy": accuracy, **figures, "learning_rate": rate}, images_per_s)
        if self._is_due(min(_SECONDS_BETWEEN_EPOCH_CHECKPOINTS, SECONDS_BETWEEN_CHECKPOINTS)):
            self._save()

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Waits at the end until everything is saved, and saves on SIGTERM.

        Nothing relies on SIGTERM: it may not arrive, or leave too little time to save.
        """
        try:
            yield
            self._writer.wait()
        except SystemExit:
            with suppress(OSError):
                if self._devices.is_chief and self._is_whole:
                    self._save()
                self._writer.wait()
            raise
        finally:
            self._writer.close()

    def _is_due(self, seconds: float) -> bool:
        """Whether this many seconds have passed since the last checkpoint. Only the chief writes them."""
        return self._devices.is_chief and time.monotonic() - self._saved_s >= seconds

    def _save(self) -> None:
        self.check_losses()
        state = self.learner.state()
        num_steps = self.learner.num_steps_in(state)
        self._writer.save(Checkpoint(num_steps, state, self.best_weights, copy.deepcopy(self.history)))
        self._saved_s = time.monotonic()

    def check_losses(self) -> None:
        """Waits for the steps since the last check, and reads their losses.

        Raises:
            FloatingPointError: If one is not finite.
        """
        while self._unread:  # a loss is dropped only after its check, in case SIGTERM arrives in between
            loss, place, rate = self._unread[0]
            _check_finite(float(loss), "loss", place, rate)
            del self._unread[0]


@contextmanager
def _weights(network: keras.Model, weights: list[np.ndarray]) -> Iterator[None]:
    """Temporarily gives a network other weights."""
    own = network.get_weights()
    try:
        network.set_weights(weights)
        yield
    finally:
        network.set_weights(own)


def _batches(examples: ExampleReader, plan: Callable[[int], Epoch], steps: range, devices: Devices) -> Iterator[Any]:
    """The batches of these steps, distributed to the devices."""
    rows = devices.rows(plan(0).numbers.shape[1])
    return map(devices.distribute, training_batches(examples, plan, steps, rows))


def _check_finite(value: float, name: str, place: str, rate: float) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"The {name} is {value} at {place}, with a learning rate of {rate:g}. "
            "Try a smaller learning_rate, or precision=float32."
        )
