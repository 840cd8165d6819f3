"""Losses: functions of labels and logits, in plain Keras operations."""

from collections.abc import Callable
from typing import Any

from keras import ops

_FOCUS = 2.0
"""Focal loss's gamma: the value that Lin et al. found best."""

# From labels and logits, float32 of shape (batch, classes), to the loss of each image, float32 of shape (batch,).
Loss = Callable[[Any, Any], Any]


def binary_cross_entropy(labels: Any, logits: Any) -> Any:
    """The paper's loss: the mean over the classes."""
    return ops.mean(ops.binary_crossentropy(labels, logits, from_logits=True), axis=-1)


def focal(labels: Any, logits: Any) -> Any:
    """Cross-entropy in which well-classified labels have little weight (Lin et al., "Focal Loss", ICCV 2017)."""
    entropies = ops.binary_crossentropy(labels, logits, from_logits=True)
    missed = ops.abs(labels - ops.sigmoid(logits))
    return ops.mean(missed**_FOCUS * entropies, axis=-1)


def binary_cross_entropy_and_soft_f1(labels: Any, logits: Any) -> Any:
    """Cross-entropy plus 1 minus the batch's macro F1, with probabilities in place of decisions.

    The F1 is over the classes that the batch shows, because that of the others cannot be improved. With several GPUs, each
    computes it on its own part of the batch.
    """
    probabilities = ops.sigmoid(logits)
    hits = ops.sum(labels * probabilities, axis=0)
    cases = ops.sum(labels + probabilities, axis=0)
    shown = ops.cast(ops.max(labels, axis=0) > 0.5, logits.dtype)
    f1 = ops.sum(shown * 2 * hits / (cases + 1e-6)) / ops.maximum(ops.sum(shown), 1.0)
    return binary_cross_entropy(labels, logits) + (1.0 - f1)


LOSSES: dict[str, Loss] = {
    "bce": binary_cross_entropy,
    "focal": focal,
    "bce_soft_f1": binary_cross_entropy_and_soft_f1,
}


def smooth(labels: Any, smoothing: float) -> Any:
    """Label smoothing (Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016)."""
    return labels * (1.0 - smoothing) + smoothing / 2
