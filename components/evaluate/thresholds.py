"""From probabilities to decisions: a threshold fitted on the validation split."""

import numpy as np

_NUM_CANDIDATES = 200


def fit_global_threshold(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The one threshold for all classes that gives the best macro F1.

    Of several that are equally good, it is the middle one.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
    """
    candidates = np.unique(np.quantile(y_score, np.linspace(0, 1, _NUM_CANDIDATES), method="nearest"))
    f1 = np.array([_f1_macro(y_true, y_score >= threshold) for threshold in candidates])
    best = np.flatnonzero(f1 == f1.max())
    return float(candidates[best[len(best) // 2]])


def _f1_macro(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """As scikit-learn's, a hundred times faster, which hundreds of candidates need."""
    hits = (y_true & y_pred).sum(axis=0)
    cases = y_true.sum(axis=0) + y_pred.sum(axis=0)
    return float(np.divide(2 * hits, cases, out=np.zeros(len(cases)), where=cases > 0).mean())
