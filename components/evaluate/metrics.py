"""The figures of a multi-label classifier, each beside what a classifier that looks at no image gets.

A class that is absent from the split, or that is never predicted, has an F1 of 0: scikit-learn's convention, and that of the
competition, whose metric is the macro F1. The floors follow the same convention.
"""

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

PAPER_THRESHOLD = 0.5


@dataclass(frozen=True)
class ClassScore:
    """How one class is recognised on one split. `support` is the number of samples that show it."""

    name: str
    support: int
    precision: float
    recall: float
    f1: float
    f1_floor: float
    threshold: float


def scoreboard(y_true: np.ndarray, y_score: np.ndarray, threshold: float) -> dict[str, float]:
    """The figures over all classes.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        threshold: Where F1 takes a probability for a yes. Accuracy is the paper's: element-wise, at 0.5.

    Returns:
        `accuracy` with `accuracy_floor`, which always answering no gets; `f1_macro` and `f1_micro` with their floors, which
        always answering yes gets (always answering no gets 0).
    """
    yes, y_pred = np.ones_like(y_true), y_score >= threshold
    return {
        "accuracy": float((y_true == (y_score >= PAPER_THRESHOLD)).mean()),
        "accuracy_floor": float((~y_true).mean()),
        "f1_macro": _f1(y_true, y_pred, "macro"),
        "f1_macro_floor": _f1(y_true, yes, "macro"),
        "f1_micro": _f1(y_true, y_pred, "micro"),
        "f1_micro_floor": _f1(y_true, yes, "micro"),
    }


def class_scores(y_true: np.ndarray, y_pred: np.ndarray, thresholds: np.ndarray, names: list[str]) -> list[ClassScore]:
    """The figures of each class. The floor of a class's F1 is that of always answering yes."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y_true, y_pred, average=None, zero_division=0)
    floor = metrics.f1_score(y_true, np.ones_like(y_true), average=None, zero_division=0)
    columns = zip(names, support, precision, recall, f1, floor, thresholds, strict=True)
    return [ClassScore(name, int(count), *(float(value) for value in values)) for name, count, *values in columns]


def micro_roc(y_true: np.ndarray, y_score: np.ndarray, num_points: int = 100) -> dict[str, list[float]]:
    """The ROC curve over all pairs of sample and class, thinned to about `num_points`.

    Returns:
        `fpr`, `tpr` and `threshold`: lists of one length. Empty where one of the two answers never occurs.
    """
    if y_true.all() or not y_true.any():
        return {"fpr": [], "tpr": [], "threshold": []}
    fpr, tpr, threshold = metrics.roc_curve(y_true.ravel(), y_score.ravel())
    kept = np.unique(np.linspace(0, len(fpr) - 1, num_points).astype(int))
    finite = np.minimum(threshold[kept], 1.0)  # scikit-learn's first threshold is infinite, which JSON cannot hold
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist(), "threshold": finite.tolist()}


def confusion(y_true: np.ndarray, y_pred: np.ndarray) -> list[list[int]]:
    """Counts over all pairs of sample and class: rows are absent and present in truth, columns as predicted."""
    return metrics.confusion_matrix(y_true.ravel(), y_pred.ravel(), labels=[False, True]).tolist()


def _f1(y_true: np.ndarray, y_pred: np.ndarray, average: str) -> float:
    return float(metrics.f1_score(y_true, y_pred, average=average, zero_division=0))
