"""How good a network is on the validation split, after each epoch."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.artifacts.f1 import f1_macro
from components.artifacts.manifest import Examples
from components.train.inputs import evaluation_batches
from components.train.losses import LOSSES
from components.train.recipes import Recipe

_NUM_THRESHOLDS = 50


class Validation:
    """Judges a network on images as they are."""

    def __init__(self, network: keras.Model, examples: Examples, recipe: Recipe) -> None:
        """Prepares to judge by the recipe's loss, in its batches."""
        self._loss = LOSSES[recipe.loss]
        self._batches = evaluation_batches(examples, "validation", recipe.batch_size)

        @tf.function(reduce_retracing=True)
        def answer(pixels: tf.Tensor) -> Any:
            return network(tf.cast(pixels, tf.float32), training=False)

        self._answer = answer

    def judge(self) -> dict[str, float]:
        """`val_loss` (over the split as one batch), `val_accuracy` at 0.5, and `val_f1_macro`."""
        answers = [(self._answer(pixels), labels) for pixels, labels in self._batches]
        logits, labels = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return {
            "val_loss": float(tf.reduce_mean(self._loss(labels, logits))),
            "val_accuracy": float(((logits > 0) == (labels > 0.5)).mean()),
            "val_f1_macro": best_f1_macro(labels > 0.5, logits),
        }


def best_f1_macro(y_true: np.ndarray, scores: np.ndarray) -> float:
    """The macro F1 at the one threshold that suits best; classes without a positive count as 0.

    Args:
        y_true: bool, images x classes.
        scores: Larger means more likely: any scale, the same shape.
    """
    cuts = [0.0, *np.quantile(scores, np.linspace(0, 1, _NUM_THRESHOLDS))]
    return max(f1_macro(y_true, scores >= cut) for cut in cuts)
