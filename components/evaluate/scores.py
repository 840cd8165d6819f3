"""What models say of samples."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """What a model says of one side of the split.

    Attributes:
        ids: The samples.
        y_true: Whether each class is there: bool, shape (samples, classes).
        y_score: The model's probabilities: float32, the same shape.
    """

    ids: list[str]
    y_true: np.ndarray
    y_score: np.ndarray
