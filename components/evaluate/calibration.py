"""Calibration: of the predictions with a probability of 30 %, three in ten should be right."""

from dataclasses import dataclass

import numpy as np

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal width from 0 to 1, over all pairs of sample and class.

    Attributes:
        counts: The number of predictions in each bin: shape (bins,).
        mean_score: Their mean probability; 0 for an empty bin.
        positive_share: The share of positives among them; 0 for an empty bin.
    """

    counts: np.ndarray
    mean_score: np.ndarray
    positive_share: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015): the mean gap, weighted by the counts."""
        return float(np.average(np.abs(self.mean_score - self.positive_share), weights=self.counts))


def reliability(y_true: np.ndarray, y_score: np.ndarray) -> Reliability:
    """Sorts predictions into bins.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
    """
    sums = calibration_sums(y_true, y_score).sum(axis=0)
    counts = sums[:NUM_BINS]
    filled = np.maximum(counts, 1)
    return Reliability(counts.astype(int), sums[NUM_BINS : 2 * NUM_BINS] / filled, sums[2 * NUM_BINS :] / filled)


def calibration_sums(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """The contribution of each sample to each bin: numbers of predictions, sums of probabilities, numbers of positives.

    Returns:
        float64, shape (samples, 3 x bins).
    """
    num_samples = len(y_score)
    bins = np.minimum((y_score * NUM_BINS).astype(int), NUM_BINS - 1)
    cells = (np.arange(num_samples)[:, None] * NUM_BINS + bins).ravel()
    size = num_samples * NUM_BINS
    parts = [np.bincount(cells, weights, size) for weights in (np.ones(cells.size), y_score.ravel(), y_true.ravel())]
    return np.hstack([part.reshape(num_samples, NUM_BINS) for part in parts])


def calibration_errors(sums: np.ndarray) -> np.ndarray:
    """Expected calibration errors from sums over samples of `calibration_sums`: from shape (..., 3 x bins) to (...)."""
    counts, scores, positives = (sums[..., k * NUM_BINS : (k + 1) * NUM_BINS] for k in range(3))
    return np.abs(scores - positives).sum(axis=-1) / counts.sum(axis=-1)
