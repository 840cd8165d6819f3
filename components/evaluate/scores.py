"""What models say of samples."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """What a model says of one side of the split.

    Attributes:
        ids: The samples.
        y_true: Whether each class is there: bool, shape (samples, classes).
        y_score: The model's probabilities: float32, the same shape. What is no probability counts as 0 or 1, whichever is
            nearer, and 0 if it is no number.
        num_invalid: How many of them were no numbers from 0 to 1.
    """

    ids: list[str]
    y_true: np.ndarray
    y_score: np.ndarray
    num_invalid: int = 0
