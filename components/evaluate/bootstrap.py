"""Confidence intervals of all metrics but F1 per class and macro F1: the bootstrap over groups of related samples.

A resample draws as many groups as there are, with replacement (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993;
whole groups, because related samples are not independent evidence: Field and Welsh, JRSS B 2007).

Resampled values are shifted so that their mean is the measured value, because a resample lacks some samples and repeats others,
which biases it. An interval describes the variation of the metric between splits of this size. For macro averages it is too
narrow if some classes are rare in the split, so macro F1, which decides the verdict, uses another method: see `f1_intervals`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.evaluate.calibration import calibration_errors, calibration_sums
from components.evaluate.f1_intervals import CONFIDENCE, Floats, Interval
from components.evaluate.metrics import PAPER_THRESHOLD, Answers
from components.evaluate.ranking import ranking_resamples

# Each tail of a 95 % interval holds 25 of these.
NUM_RESAMPLES = 1000


def number_groups(ids: Sequence[str], groups: Mapping[str, str]) -> np.ndarray:
    """The group of each sample id as a number from 0 without gaps: int, shape (samples,).

    Raises:
        ValueError: If a sample has no group.
    """
    if missing := [sample_id for sample_id in ids if sample_id not in groups]:
        raise ValueError(f"{len(missing)} samples are in no group, for example {missing[0]}: every sample needs one")
    return np.unique([groups[sample_id] for sample_id in ids], return_inverse=True)[1]


class Resamples:
    """The samples of each resample, and how often it has each.

    Attributes:
        counts: The number of times that each resample has drawn each group: float32, shape (resamples, groups).
        groups: The group of each sample: shape (samples,).
    """

    def __init__(self, groups: np.ndarray, seed: int, num_resamples: int = NUM_RESAMPLES) -> None:
        """Draws the resamples.

        Args:
            groups: The group of each sample, as numbers from 0 without gaps.
            seed: Another seed gives other resamples.
            num_resamples: The number of resamples.
        """
        random = np.random.default_rng(seed)
        size = int(groups.max()) + 1
        draws = (random.integers(size, size=size) for _ in range(num_resamples))
        self.counts = np.stack([np.bincount(drawn, minlength=size).astype(np.float32) for drawn in draws])
        self.groups = groups
        self._order = np.argsort(groups, kind="stable")
        self._firsts = np.searchsorted(groups[self._order], np.arange(size))

    def sums(self, values: np.ndarray) -> Floats:
        """Sums over the samples of each resample: from shape (samples, columns) to (resamples, columns)."""
        by_group = np.add.reduceat(values[self._order].astype(np.float64), self._firsts, axis=0)
        return self.counts.astype(np.float64) @ by_group


def interval(figure: float, resampled: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The percentile interval of a figure.

    Args:
        figure: Its value on the original samples.
        resampled: Its values in resamples, shape (resamples,). NaN is ignored.
        confidence: The share of them within the interval.
    """
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail]) + (figure - np.nanmean(resampled))
    return Interval(float(low), float(high))


def resample_figures(y_true: np.ndarray, answers: Answers, resamples: Resamples) -> dict[str, Floats]:
    """The metrics of `metrics.figures` in each resample, shape (resamples,), except macro F1 and undefined ones.

    31072 samples of 28 classes take less than 10 s on two cores: see benchmarks/evaluate.py.

    Args:
        y_true: bool, shape (samples, classes).
        answers: The classifier's predictions for the same samples.
        resamples: The resamples.
    """
    y_score, y_pred = answers.y_score, answers.y_pred
    hits, actual, predicted = (part.sum(axis=1) for part in (y_true & y_pred, y_true, y_pred))
    per_sample = np.column_stack(
        [
            np.ones(len(y_true)),
            (y_true == (y_score >= PAPER_THRESHOLD)).mean(axis=1),
            (y_true == y_pred).all(axis=1),
            2 * hits / np.maximum(actual + predicted, 1),
            _log_losses(y_true, y_score),
            hits,
            actual + predicted,
            calibration_sums(y_true, y_score),
        ]
    )
    sums = resamples.sums(per_sample)
    num_samples = sums[:, 0]
    found = {
        "accuracy": sums[:, 1] / num_samples,
        "subset_accuracy": sums[:, 2] / num_samples,
        "f1_micro": 2 * sums[:, 5] / np.maximum(sums[:, 6], 1),
        "f1_samples": sums[:, 3] / num_samples,
        "log_loss": sums[:, 4] / num_samples,
        "calibration_error": calibration_errors(sums[:, 7:]),
    }
    ranked = ranking_resamples(y_true, y_score, resamples.groups, resamples.counts)
    for name, by_class in zip(("average_precision_macro", "roc_auc_macro"), ranked, strict=True):
        if not np.isnan(by_class).all():
            found[name] = _mean_of_present(by_class)
    return found


def _log_losses(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """As in scikit-learn, which clips probabilities near 0 and 1: shape (samples,)."""
    margin = np.finfo(y_score.dtype).eps
    kept = np.clip(y_score, margin, 1 - margin)
    return -np.log(np.where(y_true, kept, 1 - kept)).mean(axis=1)


def _mean_of_present(by_class: Floats) -> Floats:
    """The mean over the classes that are not NaN; NaN if all are."""
    present = ~np.isnan(by_class)
    sums = np.where(present, by_class, 0).sum(axis=1)
    return np.divide(sums, present.sum(axis=1), out=np.full(len(sums), np.nan), where=present.any(axis=1))
