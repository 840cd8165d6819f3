import numpy as np

from components.evaluate.report_sections.errors import error_counts


def test_errors_that_occur_together_are_counted_by_image() -> None:
    y_true = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], bool)
    y_pred = np.array([[0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0]], bool)
    # The first image has 1 instead of 0, the second 1 and 2 instead of 0, the third is right, the fourth only lacks 2.
    assert error_counts(y_true, y_pred).tolist() == [[0, 2, 1], [0, 0, 0], [0, 0, 0]]
