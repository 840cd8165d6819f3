import numpy as np
import pytest

from components.evaluate.calibration import NUM_BINS, calibration_errors, calibration_sums, reliability


def test_the_error_of_calibrated_probabilities_is_zero() -> None:
    y_true = np.zeros((10, 2), bool)
    y_true[:3, 0] = True
    y_true[:6, 1] = True
    found = reliability(y_true, np.tile(np.array([0.3, 0.6], np.float32), (10, 1)))
    assert found.error == pytest.approx(0.0, abs=1e-6)
    assert found.counts.sum() == 20
    assert found.mean_score[4] == pytest.approx(0.3)
    assert found.positive_share[9] == pytest.approx(0.6)


def test_the_error_is_the_mean_gap_over_all_predictions() -> None:
    y_true = np.array([[True, False], [False, False]])
    assert reliability(y_true, np.full((2, 2), 0.5, np.float32)).error == pytest.approx(0.25)
    # One prediction of 0.9, which is right, and three of 0.2, of which none is.
    y_score = np.array([[0.9, 0.2], [0.2, 0.2]], np.float32)
    assert reliability(y_true, y_score).error == pytest.approx(0.1 / 4 + 0.2 * 3 / 4)


def test_probabilities_of_0_and_1_are_in_the_outer_bins() -> None:
    found = reliability(np.array([[False, True]]), np.array([[0.0, 1.0]], np.float32))
    assert found.counts.tolist() == [1] + [0] * (NUM_BINS - 2) + [1]
    assert found.error == 0


def test_errors_from_sums_equal_those_of_the_samples() -> None:
    random = np.random.default_rng(0)
    y_true, y_score = random.random((50, 4)) < 0.3, random.random((50, 4)).astype(np.float32)
    sums = calibration_sums(y_true, y_score)
    halves = np.stack([sums[:20].sum(axis=0), sums[20:].sum(axis=0)])
    expected = [reliability(y_true[:20], y_score[:20]).error, reliability(y_true[20:], y_score[20:]).error]
    assert calibration_errors(halves) == pytest.approx(expected)
