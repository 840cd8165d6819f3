"""The competition's metric, in NumPy alone: where it is wanted for hundreds of thresholds, scikit-learn's takes too long."""

import numpy as np


def f1_macro(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """The mean of the classes' F1. As in scikit-learn with `zero_division=0`, a class that never occurs has 0.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.
    """
    hits, cases = (y_true & y_pred).sum(axis=0), y_true.sum(axis=0) + y_pred.sum(axis=0)
    return float((2 * hits / np.maximum(cases, 1)).mean())
