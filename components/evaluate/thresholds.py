"""From probabilities to decisions: a threshold fitted on the validation split."""

import numpy as np

from components.evaluate.metrics import scoreboard

_NUM_CANDIDATES = 200


def fit_global_threshold(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The one threshold for all classes that gives the best macro F1.

    Of several that are equally good, it is the middle one.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
    """
    candidates = np.unique(np.quantile(y_score, np.linspace(0, 1, _NUM_CANDIDATES), method="nearest"))
    f1 = np.array([scoreboard(y_true, y_score >= threshold)["f1_macro"] for threshold in candidates])
    best = np.flatnonzero(f1 == f1.max())
    return float(candidates[best[len(best) // 2]])
