"""A network with all its training state: weights, optimiser, averages, and the number of steps."""

import logging
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.train.augmentation import augment
from components.train.losses import LOSSES, smooth
from components.train.model import backbone_of
from components.train.recipes import Recipe

_log = logging.getLogger(__name__)


class Learner:
    """Takes training steps, on one device or on several.

    All its state is in variables, which a step changes together, so that the arrays of `state` are consistent after any
    interruption. A step does not wait for the device.

    Attributes:
        num_steps: The number of steps requested, counted on the host.
    """

    def __init__(
        self,
        network: keras.Model,
        recipe: Recipe,
        steps_per_epoch: int,
        strategy: tf.distribute.Strategy,
    ) -> None:
        """Creates the optimiser.

        Args:
            network: From float32 pixels to logits, built in the strategy's scope; see `model.build_model`.
            recipe: The recipe.
            steps_per_epoch: The number of steps after which the running sums of loss and accuracy are reset.
            strategy: Distributes the steps to the devices.

        Raises:
            ValueError: If several devices would compute in float16: see `precision.resolve_precision`.
        """
        if strategy.num_replicas_in_sync > 1 and _is_float16(network):
            raise ValueError("precision: several devices cannot compute in float16: expected float32, bfloat16 or auto")
        self.network = network
        self._recipe, self._strategy, self._steps_per_epoch = recipe, strategy, steps_per_epoch
        self._learning = network.trainable_variables
        with strategy.scope():
            self._optimizer = _optimizer(network, recipe.learning_rate)
            # With float16, loss scaling wraps Adam and adds state.
            self._adam = getattr(self._optimizer, "inner_optimizer", self._optimizer)
            self._averages = [tf.Variable(variable.value) for variable in self._learning] if recipe.average_decay else []
        self.num_steps = 0
        self._num_warmup_steps = recipe.warmup_epochs * steps_per_epoch
        self._steps = tf.Variable(0, dtype=tf.int64)
        self._sums = tf.Variable([0.0, 0.0], dtype=tf.float64)  # of losses and of accuracies, over the steps of this epoch
        self._loss = LOSSES[recipe.loss]

    def step(self, batch: Any, learning_rate: float) -> tf.Tensor:
        """Takes a step.

        Args:
            batch: (pixels, draws, labels) from `inputs.training_batches`, distributed by the strategy.
            learning_rate: The learning rate of this step.

        Returns:
            The loss, a float32 scalar. Reading it waits for the device.
        """
        if self._num_warmup_steps and self.num_steps == self._num_warmup_steps:
            self._restart_optimizer()
        step = self._warmup_step if self.num_steps < self._num_warmup_steps else self._whole_step
        loss = step(batch, tf.constant(learning_rate))
        self.num_steps += 1
        return loss

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.learning_rate.numpy())

    def epoch_means(self) -> tuple[float, float]:
        """The mean loss and the mean accuracy of the steps of this epoch so far."""
        steps = (self.num_steps - 1) % self._steps_per_epoch + 1
        loss, accuracy = self._sums.numpy() / steps
        return float(loss), float(accuracy)

    def state(self) -> list[np.ndarray]:
        """The complete state, from which training resumes as if it had never stopped."""
        return [variable.numpy() for variable in self._variables]

    def num_steps_in(self, state: Sequence[np.ndarray]) -> int:
        """The number of steps in a state: `num_steps`, or one more if a signal arrived between the two counters."""
        (position,) = (number for number, variable in enumerate(self._variables) if variable is self._steps)
        return int(state[position])

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Restores a state, possibly from a machine where `precision=auto` meant another precision.

        Raises:
            ValueError: If the state is of another network or recipe.
        """
        shapes, expected = [value.shape for value in state], [tuple(variable.shape) for variable in self._variables]
        num_common = len(expected) - len(self._loss_scaling)
        if shapes[:num_common] != expected[:num_common] or any(shapes[num_common:]):  # loss scaling has only scalars
            raise ValueError(f"it is the state of another training run: {len(shapes)} arrays for {len(expected)} variables")
        if len(shapes) != len(expected):
            _log.warning("the precision has changed: the training resumes, but not bit for bit")
        # Loss scaling that the state lacks starts fresh; loss scaling that is no longer used is dropped.
        for variable, value in zip(self._variables, state, strict=False):
            variable.assign(value)
        self.num_steps = self.num_steps_in(state)

    def learned_weights(self) -> list[np.ndarray]:
        """The weights to validate and export, in the network's order: the averages, if there are any."""
        averages = {id(variable): average for variable, average in zip(self._learning, self._averages, strict=False)}
        return [averages.get(id(variable), variable).numpy() for variable in self.network.weights]

    @cached_property
    def _variables(self) -> list[Any]:
        own = [*self.network.variables, *self._adam.variables, *self._averages, self._steps, self._sums]
        return [*own, *self._loss_scaling]

    @cached_property
    def _loss_scaling(self) -> list[Any]:
        in_adam = {id(variable) for variable in self._adam.variables}
        return [variable for variable in self._optimizer.variables if id(variable) not in in_adam]

    @cached_property
    def _warmup_step(self) -> Any:
        """A step in which only the head learns.

        Batch normalisation in the backbone works as in every other step: it normalises by the batch and updates its averages.
        So the head is fitted to the features that it will see afterwards, and the averages are those of the training images
        and not of the images that the backbone was pretrained on.
        """
        in_backbone = {id(variable) for variable in backbone_of(self.network).trainable_variables}
        return self._step_of([variable for variable in self._learning if id(variable) not in in_backbone])

    @cached_property
    def _whole_step(self) -> Any:
        return self._step_of(self._learning)

    def _step_of(self, learning: Sequence[Any]) -> Any:
        """A step in which these variables learn."""

        @tf.function(reduce_retracing=True)
        def step(batch: Any, learning_rate: tf.Tensor) -> tf.Tensor:
            self._optimizer.learning_rate.assign(learning_rate)
            parts = self._strategy.run(self._replica_step, (batch, learning))
            if self._strategy.num_replicas_in_sync > 1:
                self._share_statistics()
            means = [self._strategy.reduce("SUM", part, axis=None) for part in parts]
            sums = tf.where(self._steps % self._steps_per_epoch == 0, tf.zeros_like(self._sums), self._sums)
            self._sums.assign(sums + tf.cast(tf.stack(means), tf.float64))
            self._steps.assign_add(1)
            return means[0]

        return step

    def _restart_optimizer(self) -> None:
        """Resets Adam.

        It counts steps once for all variables. The moments of an unfrozen backbone start from 0 late, so their bias would
        hardly be corrected, and the first updates would be several times too large.
        """
        for variable in self._adam.variables:
            if variable is not self._adam.learning_rate:
                variable.assign(tf.zeros_like(variable))

    def _share_statistics(self) -> None:
        """Averages batch normalisation's moving statistics over the devices, each of which updates its own.

        A checkpoint, which holds those of one device, is then the state of all.
        """
        averages = [variable for variable in self.network.non_trainable_variables if variable.dtype == "float32"]
        of_devices = self._strategy.run(lambda: tf.concat([tf.reshape(variable.value, [-1]) for variable in averages], axis=0))
        shared = self._strategy.reduce("MEAN", of_devices, axis=None)  # in one piece, as there are hundreds
        for variable, part in zip(averages, tf.split(shared, [math.prod(each.shape) for each in averages]), strict=True):
            variable.assign(tf.reshape(part, variable.shape))

    def _replica_step(self, batch: Any, learning: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """One device's part of a step. Returns its part of the mean loss and of the mean accuracy."""
        pixels, draws, labels = batch
        images = augment(pixels, draws, self._recipe.rotation_turns, self._recipe.brightness)
        logits, loss, gradients = self._differentiate(learning, images, labels)
        self._optimizer.apply_gradients(zip(gradients, learning, strict=True))  # sums over all devices
        for average, variable in zip(self._averages, self._learning, strict=False):
            average.assign(average * self._decay() + variable.value * (1 - self._decay()))
        accuracy = tf.reduce_mean(tf.cast((logits > 0) == (labels > 0.5), tf.float32))
        return loss, accuracy / self._strategy.num_replicas_in_sync

    def _differentiate(self, learning: Sequence[Any], images: tf.Tensor, labels: tf.Tensor) -> tuple[Any, Any, Any]:
        """Returns logits, this device's part of the mean loss, and the scaled gradients of that loss."""
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            losses = self._loss(smooth(labels, self._recipe.label_smoothing), logits)
            loss = tf.reduce_mean(losses) / self._strategy.num_replicas_in_sync
            scaled = self._optimizer.scale_loss(loss)
        return logits, loss, tape.gradient(scaled, [variable.value for variable in learning])

    def _decay(self) -> Any:
        """The decay of the averages, smaller in the first steps (as in TensorFlow's ExponentialMovingAverage)."""
        steps = tf.cast(self._steps, tf.float32)
        return tf.minimum(self._recipe.average_decay, (1 + steps) / (10 + steps))


def _optimizer(network: keras.Model, learning_rate: float) -> keras.optimizers.Optimizer:
    """Adam, with loss scaling in float16, where gradients would vanish."""
    optimizer = keras.optimizers.Adam(learning_rate)
    if _is_float16(network):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # Otherwise Keras would create the variables while tracing the first step, and trace it twice.
    optimizer.build(network.trainable_variables)
    return optimizer


def _is_float16(network: keras.Model) -> bool:
    return bool(network.get_layer("dropout").compute_dtype == "float16")
