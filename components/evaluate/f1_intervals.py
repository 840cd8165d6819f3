"""Confidence intervals of F1 and of differences in F1: the jackknife over groups of related samples.

The samples of a group must stay in one split: near-duplicates, and samples of a group in the source's table.

**The estimand** is the expected figure of a classifier with fixed thresholds: the mean over all splits of the same size from
the same population. The figure is the macro F1 over the common classes, those in at least `MIN_CLASS_GROUPS` groups of the
split. The set of these classes is taken as given: a class counts with its mean over the splits in which it is common. Other
classes are left out of the figure and of whatever it is compared with. If a split has no positives of a class, its F1 is 0
however good the classifier is, and with a single positive it is near 0 or near 1: no interval can account for classes that a
split lacks.

**The method.** F1 is recomputed without each group in turn. The spread of these values gives the standard error (Tukey, Annals
of Mathematical Statistics 1958), which on average is not too small (Efron and Stein, Annals of Statistics 1981). Groups are
left out whole because related samples are not independent evidence. A mean over classes is close to normal (Takahashi et al.,
Applied Intelligence 2022, who derive the interval of the macro F1 by the delta method). Student's t turns the error into an
interval, with one degree of freedom less than there are groups; for a single class, less than there are groups that show it.

The tails therefore come from a distribution instead of resamples. A Bonferroni correction for 28 classes needs the 0.09 %
quantile: a bootstrap would take 22,000 resamples to have 20 values beyond it, and ten positives would still not determine it.

`python -m benchmarks.evaluate --splits 500` measures coverage and width, and compares them with the percentile bootstrap.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
# Coverage was measured with 240 groups or more (benchmarks/evaluate.py). With 40, it was below 90 % for some classifiers.
MIN_GROUPS = 100
# A class is common if it is in at least this many groups.
MIN_CLASS_GROUPS = 5

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """The bounds of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class ClassF1:
    """F1 of each class, or the difference of two classifiers in it on the same samples: `challenger - champion`.

    Attributes:
        values: float64, shape (classes,). 0 for a class that no sample shows and that is never predicted.
        without: The same without each group: float64, shape (groups, classes).
        num_groups: The number of groups that show each class: shape (classes,).
    """

    values: Floats
    without: Floats
    num_groups: np.ndarray

    @property
    def is_common(self) -> np.ndarray:
        """Which classes are in enough groups: bool, shape (classes,)."""
        return self.num_groups >= MIN_CLASS_GROUPS

    def __sub__(self, other: "ClassF1") -> "ClassF1":
        return ClassF1(self.values - other.values, self.without - other.without, self.num_groups)

    def macro(self) -> float | None:
        """The mean over the common classes. None if there are none."""
        return float(self.values[self.is_common].mean()) if self.is_common.any() else None

    def macro_interval(self) -> Interval | None:
        """The 95 % interval of `macro`. None if there are no common classes, or fewer than `MIN_GROUPS` groups."""
        if not self.is_common.any() or len(self.without) < MIN_GROUPS:
            return None
        common = self.is_common
        return _jackknife(self.values[common].mean(), self.without[:, common].mean(axis=1), len(self.without), CONFIDENCE)

    def class_intervals(self, confidence: float = CONFIDENCE) -> list[Interval | None]:
        """The interval of each class. None for a class that is not common."""
        return [
            _jackknife(value, without, num_groups, confidence) if is_common else None
            for value, without, num_groups, is_common in zip(
                self.values, self.without.T, self.num_groups, self.is_common, strict=True
            )
        ]


def class_f1(y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray) -> ClassF1:
    """Measures F1 of each class, on all samples and without each group.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.
        groups: The group of each sample, numbered from 0 without gaps: shape (samples,).
    """
    hits, actual, predicted = (sums_by_group(cells, groups) for cells in (y_true & y_pred, y_true, y_pred))
    num_hits, num_cases = hits.sum(axis=0), (actual + predicted).sum(axis=0)
    return ClassF1(
        values=2 * num_hits / np.maximum(num_cases, 1),
        without=2 * (num_hits - hits) / np.maximum(num_cases - actual - predicted, 1),
        num_groups=(actual > 0).sum(axis=0),
    )


def sums_by_group(cells: np.ndarray, groups: np.ndarray) -> NDArray[np.int64]:
    """Counts the true cells of each group: from bool, shape (samples, columns), to (groups, columns).

    Args:
        cells: The cells to count.
        groups: The group of each sample, numbered from 0 without gaps: shape (samples,).
    """
    order = np.argsort(groups, kind="stable")
    firsts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    return np.add.reduceat(cells[order], firsts, axis=0, dtype=np.int64)


def _jackknife(estimate: float, without: Floats, num_groups: int, confidence: float) -> Interval:
    """The interval of an estimate from its values without each group; `num_groups` gives the degrees of freedom."""
    size = len(without)
    error = np.sqrt((size - 1) / size * np.square(without - without.mean()).sum())
    margin = float(stdtrit(num_groups - 1, (1 + confidence) / 2) * error)
    return Interval(float(estimate) - margin, float(estimate) + margin)
