"""Finds classes that are mistaken for others.

An image with several classes can have several missed and several wrongly predicted ones. Each missed class is therefore paired
with each wrong prediction on the same image, and errors without a partner get a row and a column of their own, as in the
multi-label confusion matrix of Heydarian, Doyle and Samavi (IEEE Access 2022).

Frequent errors coincide by chance: a class that is predicted on every other image is also predicted on every other miss. A pair
therefore counts as a confusion only if it occurs in at least `MIN_GROUPS` groups, and at least `MIN_RATIO` times as often as if
wrong predictions did not depend on missed classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GROUPS = 3
MIN_RATIO = 2.0


@dataclass(frozen=True)
class Confusion:
    """A class that was missed, and another that was predicted instead.

    Attributes:
        missed: The class index.
        answered: The class index of the other.
        num_images: The number of images with both errors.
        by_chance: The expected number if wrong predictions did not depend on missed classes.
    """

    missed: int
    answered: int
    num_images: int
    by_chance: float


def error_counts(y_true: np.ndarray, y_pred: np.ndarray) -> NDArray[np.int64]:
    """Counts the images with the class of the row missed and that of the column wrongly predicted.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.

    Returns:
        Shape (classes + 1, classes + 1). The last row counts images without a missed class, the last column images without a
        wrong prediction.
    """
    missed, wrong = (
        np.column_stack([errors, ~errors.any(axis=1)]).astype(np.int64) for errors in (y_true & ~y_pred, y_pred & ~y_true)
    )
    return missed.T @ wrong


def find_confusions(y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray) -> Sequence[Confusion]:
    """The pairs of errors that occur together more often than by chance, the largest excess first.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.
        groups: The group of each sample: shape (samples,).
    """
    missed, wrong = y_true & ~y_pred, y_pred & ~y_true
    counts = error_counts(y_true, y_pred)[:-1, :-1]
    rates = wrong.sum(axis=0) / np.maximum((~y_true).sum(axis=0), 1)
    by_chance = (missed.T.astype(np.int64) @ (~y_true).astype(np.int64)) * rates
    candidates = zip(*np.nonzero((counts >= MIN_GROUPS) & (counts >= MIN_RATIO * by_chance)), strict=True)
    found = [
        Confusion(int(row), int(column), int(counts[row, column]), float(by_chance[row, column]))
        for row, column in candidates
        if len(np.unique(groups[missed[:, row] & wrong[:, column]])) >= MIN_GROUPS
    ]
    return sorted(found, key=lambda one: one.by_chance - one.num_images)
