"""Which classes are taken for which others.

An image with several classes can lack some and be given others wrongly. So each missed class is paired with each wrong answer
on the same image, and errors without a partner get a row and a column of their own, as in the multi-label confusion matrix of
Heydarian, Doyle and Samavi (IEEE Access 2022).

Frequent errors coincide by accident: a class that is answered on every other image is also answered on every other miss. So a
pair counts as a confusion only if at least `MIN_GROUPS` groups have it, and if it is at least `MIN_RATIO` times as frequent as
it would be if wrong answers did not depend on what was missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_GROUPS = 3
MIN_RATIO = 2.0


@dataclass(frozen=True)
class Confusion:
    """A class that was missed, and another that was answered instead.

    Attributes:
        missed: The class index.
        answered: That of the other.
        num_images: How many images have both errors.
        by_chance: How many would if wrong answers did not depend on what was missed.
    """

    missed: int
    answered: int
    num_images: int
    by_chance: float


def error_counts(y_true: np.ndarray, y_pred: np.ndarray) -> NDArray[np.int64]:
    """Counts the images that miss the class of the row and are wrongly given that of the column.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.

    Returns:
        Shape (classes + 1, classes + 1). The last row is of images on which no class was missed, the last column of images to
        which none was given wrongly.
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
