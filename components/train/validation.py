"""Validates a network after each epoch."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.artifacts.labels import f1_macro
from components.train.losses import LOSSES
from components.train.recipes import Recipe

_NUM_THRESHOLDS = 50


class Validation:
    """Validates a network on whole images, without test-time augmentation.

    The exported model may use several views and crops of each image, which would be too slow after every epoch. Evaluate fits
    its thresholds to its own probabilities.
    """

    def __init__(self, network: keras.Model, examples: ExampleReader, recipe: Recipe) -> None:
        """Prepares the validation, with the recipe's loss and batch size."""
        self._loss = LOSSES[recipe.loss]
        self._examples, self._batch_size = examples, recipe.batch_size

        @tf.function(reduce_retracing=True)
        def answer(pixels: tf.Tensor) -> Any:
            return network(tf.cast(pixels, tf.float32), training=False)

        self._answer = answer

    def judge(self) -> dict[str, float]:
        """`val_loss` (over the split as one batch), `val_accuracy` at 0.5, and `val_f1_macro`."""
        y_true = self._examples.labels
        logits = np.concatenate([self._answer(tf.constant(pixels)) for pixels in self._examples.batches(self._batch_size)])
        return {
            "val_loss": float(tf.reduce_mean(self._loss(y_true.astype(np.float32), logits))),
            "val_accuracy": float(((logits > 0) == y_true).mean()),
            "val_f1_macro": best_f1_macro(y_true, logits),
        }


def best_f1_macro(y_true: np.ndarray, scores: np.ndarray) -> float:
    """The macro F1 at the best single threshold; classes without a positive count as 0.

    Args:
        y_true: bool, shape (images, classes).
        scores: The same shape, on any scale; larger means more likely.
    """
    cuts = [0.0, *np.quantile(scores, np.linspace(0, 1, _NUM_THRESHOLDS))]
    return max(f1_macro(y_true, scores >= cut) for cut in cuts)
