"""Decision thresholds, fitted on the validation split.

There is one threshold for all classes, or one per class. The threshold of a rare class overfits its few positives, which made
competitors' results worse. Each is therefore shrunk towards the common one, the more the fewer positives it was fitted on (as
by empirical Bayes estimators: Efron and Morris, JASA 1975): see benchmarks/thresholds.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from components.artifacts.labels import f1_macro
from components.evaluate.f1_intervals import MIN_GROUPS, Interval, class_f1

# The number of positives that moves a class halfway from the common threshold to its own best one.
SHRINKAGE = 10.0
GLOBAL = "one threshold for all classes"
PER_CLASS = "one threshold per class, shrunk towards the common one if positives are few"
_NUM_FOLDS = 5
_ROUNDING = 1e-9


@dataclass(frozen=True)
class FittedThresholds:
    """Thresholds, and the evidence for their kind.

    Attributes:
        method: Their kind, in words.
        thresholds: float32, shape (classes,): a class is predicted at or above its threshold.
        f1_global: Macro F1 over the common classes of validation with one threshold, each fold decided with the one fitted on
            the others. None if validation has too few groups, or no common class.
        f1_per_class: The same with a threshold for each class.
        gain: The interval of the difference: per class minus global. None in the same cases.
        methods: The macro F1 of each method of fitting, including the one that is used.
    """

    method: str
    thresholds: np.ndarray
    f1_global: float | None = None
    f1_per_class: float | None = None
    gain: Interval | None = None
    methods: Sequence["Method"] = ()


@dataclass(frozen=True)
class Method:
    """A method of fitting thresholds.

    Attributes:
        title: Its name.
        f1_fit: Macro F1 on the samples of the fit.
        f1_held_out: Cross-validated macro F1: each fold is decided with thresholds fitted on the others.
    """

    title: str
    f1_fit: float
    f1_held_out: float


def fit_thresholds(y_true: np.ndarray, y_score: np.ndarray, groups: np.ndarray, seed: int) -> FittedThresholds:
    """Fits both kinds, and uses one threshold per class only if it is significantly better on held-out samples.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        groups: The group of each sample, as numbers from 0 without gaps.
        seed: The seed of the folds.
    """
    num_groups = int(groups.max()) + 1
    if num_groups < MIN_GROUPS:
        return FittedThresholds(GLOBAL, fit_common_thresholds(y_true, y_score))
    folds = (np.random.default_rng(seed).permutation(num_groups) % _NUM_FOLDS)[groups]
    decided = np.zeros((len(_METHODS), *y_true.shape), bool)
    for fold in range(_NUM_FOLDS):
        held, rest = folds == fold, folds != fold
        for number, fit in enumerate(_METHODS.values()):
            decided[number, held] = y_score[held] >= fit(y_true[rest], y_score[rest])
    fitted = [fit(y_true, y_score) for fit in _METHODS.values()]
    methods = [
        Method(title, f1_macro(y_true, y_score >= thresholds), f1_macro(y_true, y_pred))
        for title, thresholds, y_pred in zip(_METHODS, fitted, decided, strict=True)
    ]
    common, per_class = (class_f1(y_true, y_pred, groups) for y_pred in decided[:2])
    gain = (per_class - common).macro_interval()
    method, thresholds = (PER_CLASS, fitted[1]) if gain and gain.low > 0 else (GLOBAL, fitted[0])
    return FittedThresholds(method, thresholds, common.macro(), per_class.macro(), gain, methods)


def fit_global_threshold(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The threshold for all classes with the best macro F1.

    If several are equally good, it is the middle one.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
    """
    order = np.argsort(-y_score, axis=0, kind="stable")
    scores = np.take_along_axis(y_score, order, axis=0)
    hits = np.cumsum(np.take_along_axis(y_true, order, axis=0), axis=0)
    f1 = 2 * hits / (np.arange(1, len(scores) + 1)[:, None] + y_true.sum(axis=0))
    # The contribution of each further positive, from the most probable down, to the mean over the classes.
    steps = np.diff(f1, axis=0, prepend=0).ravel() / y_true.shape[1]
    descending = np.argsort(-scores.ravel(), kind="stable")
    return _best(scores.ravel()[descending], np.cumsum(steps[descending]))


def fit_common_thresholds(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """The threshold of `fit_global_threshold` for each class: float32, shape (classes,)."""
    return np.full(y_true.shape[1], fit_global_threshold(y_true, y_score), np.float32)


def fit_class_thresholds(y_true: np.ndarray, y_score: np.ndarray, shrinkage: float = SHRINKAGE) -> np.ndarray:
    """The threshold of each class with its best F1, shrunk towards the one for all classes.

    A class with n positives keeps n / (n + shrinkage) of the way from the common threshold to its own, in log odds.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        shrinkage: In positives. 0 gives each class its own best threshold, however few positives there are.

    Returns:
        float32, shape (classes,). A class without positives has the common one.
    """
    common = fit_global_threshold(y_true, y_score)
    num_positive = y_true.sum(axis=0)
    columns = [(y_true[:, [k]], y_score[:, [k]]) for k in range(y_true.shape[1])]
    own = np.array([fit_global_threshold(*c) if shown else common for c, shown in zip(columns, num_positive, strict=True)])
    kept = num_positive / np.maximum(num_positive + shrinkage, 1)
    mixed = kept * _log_odds(own) + (1 - kept) * _log_odds(np.array(common))
    # Without shrinkage, the conversion to log odds and back would only add rounding errors.
    return np.where(kept == 1, own, 1 / (1 + np.exp(-mixed))).astype(np.float32)


# The first two may be used. The last shows the benefit of shrinkage.
_METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    GLOBAL: fit_common_thresholds,
    PER_CLASS: fit_class_thresholds,
    "one threshold per class, however few its positives are (never used)": lambda y_true, y_score: fit_class_thresholds(
        y_true, y_score, shrinkage=0
    ),
}


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    kept = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return np.log(kept / (1 - kept))


def _best(scores: np.ndarray, f1: np.ndarray) -> float:
    """The best cut of a descending list of scores, given the F1 of cutting after each."""
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])  # equal scores get equal decisions
    best = ends[f1[ends] >= f1[ends].max() - _ROUNDING]
    cut = int(best[len(best) // 2])
    below = scores[cut + 1] if cut + 1 < len(scores) else scores.dtype.type(0)
    middle = (scores[cut] + below) / 2
    return float(middle if middle > below else scores[cut])
