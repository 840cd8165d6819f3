"""Measures the coverage of the intervals of macro F1 on simulated splits."""

from dataclasses import dataclass

import numpy as np

from benchmarks.simulation import draw_split
from components.evaluate.bootstrap import Resamples, interval
from components.evaluate.f1_intervals import CONFIDENCE, ClassF1, Floats, class_f1

# The range of a classifier's skills over the classes, and the correlation of the labels.
CLASSIFIERS = {
    "weak": ((0.5, 1.8), 0.0),
    "medium": ((0.8, 3.0), 0.0),
    "strong": ((2.5, 4.5), 0.0),
    "medium, correlated labels": ((0.8, 3.0), 0.3),
}
FIGURES = ("macro F1", "gain over class frequencies", "challenger minus champion")
_THRESHOLD = np.float32(0.25)
# The standard deviation of the challenger's skill from the champion's, for each class.
_CHANGE = 0.2


@dataclass(frozen=True)
class Coverage:
    """The results over many splits.

    Attributes:
        f1_macro: The mean macro F1 over the common classes.
        covered: The share of 95 % intervals that contain the expected value, for each of `FIGURES`.
        width: The median width of the intervals of macro F1.
        bootstrap_covered: The share of percentile intervals of a bootstrap over all classes that contain the mean macro F1.
        bootstrap_width: Their median width.
        false_alarms: The share of comparisons that show some class as worse than it is, beyond its noise band.
    """

    f1_macro: float
    covered: dict[str, float]
    width: float
    bootstrap_covered: float
    bootstrap_width: float
    false_alarms: float


def measure_coverage(classifier: str, num_samples: int, num_splits: int, num_resamples: int = 0, seed: int = 0) -> Coverage:
    """Simulates splits and compares their intervals with the mean over all of them.

    Args:
        classifier: One of `CLASSIFIERS`.
        num_samples: The number of samples in a split.
        num_splits: The number of splits.
        num_resamples: The number of resamples of the bootstrap; 0 skips it.
        seed: The random seed.
    """
    skills, correlation = CLASSIFIERS[classifier]
    random = np.random.default_rng(seed)
    champion = random.uniform(*skills, 28)
    challenger = np.maximum(champion + random.normal(0, _CHANGE, 28), 0.05)
    figures: dict[str, list[ClassF1]] = {name: [] for name in FIGURES}
    resampled = []
    for number in range(num_splits):
        y_true, groups, scores = draw_split(num_samples, (champion, challenger), random, correlation)
        old, new = (class_f1(y_true, y_score >= _THRESHOLD, groups) for y_score in scores)
        everything = class_f1(y_true, np.ones_like(y_true), groups)
        for name, f1 in zip(FIGURES, (old, old - everything, new - old), strict=True):
            figures[name].append(f1)
        if num_resamples:
            values = _bootstrap(y_true, scores[0] >= _THRESHOLD, Resamples(groups, number, num_resamples))
            resampled.append(interval(float(old.values.mean()), values))
    expected = {name: _expected(found) for name, found in figures.items()}
    intervals = [found.macro_interval() or (np.nan, np.nan) for found in figures["macro F1"]]
    mean = np.mean([found.values.mean() for found in figures["macro F1"]])
    return Coverage(
        f1_macro=float(np.mean([found.macro() for found in figures["macro F1"]])),
        covered={name: float(np.mean([_holds(f1, expected[name]) for f1 in found])) for name, found in figures.items()},
        width=float(np.median([high - low for low, high in intervals])),
        bootstrap_covered=float(np.mean([low <= mean <= high for low, high in resampled])) if resampled else np.nan,
        bootstrap_width=float(np.median([high - low for low, high in resampled])) if resampled else np.nan,
        false_alarms=float(np.mean([_is_false_alarm(change, expected[FIGURES[2]]) for change in figures[FIGURES[2]]])),
    )


def _expected(found: list[ClassF1]) -> Floats:
    """The mean F1 of each class over the splits in which it is common; NaN where it never is."""
    is_common = np.array([f1.is_common for f1 in found])
    sums = np.where(is_common, [f1.values for f1 in found], 0).sum(axis=0)
    return np.divide(sums, is_common.sum(axis=0), out=np.full(len(sums), np.nan), where=is_common.any(axis=0))


def _holds(f1: ClassF1, expected: Floats) -> bool:
    band = f1.macro_interval()
    return band is not None and band.low <= expected[f1.is_common].mean() <= band.high


def _is_false_alarm(change: ClassF1, expected: Floats) -> bool:
    bands = change.class_intervals(1 - (1 - CONFIDENCE) / int(change.is_common.sum()))
    return any(band.high < min(0.0, value) for band, value in zip(bands, expected, strict=True) if band)


def _bootstrap(y_true: np.ndarray, y_pred: np.ndarray, resamples: Resamples) -> Floats:
    """The macro F1 over all classes in each resample."""
    hits, cases = resamples.sums(y_true & y_pred), resamples.sums(y_true.astype(int) + y_pred)
    return (2 * hits / np.maximum(cases, 1)).mean(axis=1)
