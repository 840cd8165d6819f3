import numpy as np

from components.evaluate.confusions import Confusion, error_counts, find_confusions


def test_errors_are_counted_with_and_without_partners() -> None:
    y_true = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]], bool)
    y_pred = np.array([[0, 1, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 0]], bool)
    # The first image has 1 instead of 0, the second 1 and 2 instead of 0, the third is right, the fourth only misses 2, and the
    # fifth only has a wrong 0.
    assert error_counts(y_true, y_pred).tolist() == [[0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1]]


def _errors(num_images: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Ten images of class 0 are mistaken for class 1, and class 2 is predicted on every other image."""
    y_true, y_pred = np.zeros((2, num_images, 3), bool)
    y_true[:10, 0] = y_pred[:10, 1] = True
    y_pred[::2, 2] = True
    return y_true, y_pred


def test_a_class_that_is_predicted_everywhere_is_not_a_confusion() -> None:
    assert find_confusions(*_errors(), np.arange(100)) == [Confusion(missed=0, answered=1, num_images=10, by_chance=1.0)]


def test_two_groups_are_not_enough_for_a_confusion() -> None:
    groups = np.r_[np.repeat([0, 1], 5), 2:92]
    assert find_confusions(*_errors(), groups) == []


def test_the_largest_excess_comes_first() -> None:
    y_true, y_pred = np.zeros((2, 60, 4), bool)
    y_true[:4, 0] = y_pred[:4, 1] = True
    y_true[4:12, 2] = y_pred[4:12, 3] = True
    assert [(one.missed, one.answered) for one in find_confusions(y_true, y_pred, np.arange(60))] == [(2, 3), (0, 1)]
