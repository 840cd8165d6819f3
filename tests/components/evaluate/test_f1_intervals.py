import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from benchmarks.coverage import CLASSIFIERS, measure_coverage
from components.evaluate.f1_intervals import MIN_GROUPS, class_f1


def _case(seed: int, num_samples: int = 200, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = random.random((num_samples, num_classes)) < 0.3
    groups = np.unique(random.integers(0, 2 * num_samples, num_samples), return_inverse=True)[1]
    return y_true, y_true ^ (random.random(y_true.shape) < 0.2), groups


def _width(y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray) -> float:
    band = class_f1(y_true, y_pred, groups).macro_interval()
    assert band
    return band.high - band.low


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_f1_with_and_without_each_group_equals_scikit_learns(seed: int) -> None:
    y_true, y_pred, groups = _case(seed, num_samples=12)
    found = class_f1(y_true, y_pred, groups)
    assert found.values == pytest.approx(f1_score(y_true, y_pred, average=None, zero_division=0))
    assert found.num_groups.tolist() == [len(np.unique(groups[shown])) for shown in y_true.T]
    for group, without in enumerate(found.without):
        kept = groups != group
        assert without == pytest.approx(f1_score(y_true[kept], y_pred[kept], average=None, zero_division=0))


def test_the_standard_error_of_a_mean_equals_the_textbooks() -> None:
    """The F1 of predicting everything is a function of the class's share, whose error the delta method gives."""
    y_true = np.arange(1000)[:, None] < 400
    (band,) = class_f1(y_true, np.ones_like(y_true), np.arange(1000)).class_intervals()
    share = 0.4
    error = 2 / (1 + share) ** 2 * np.sqrt(share * (1 - share) / 1000)
    assert band
    assert (band.low + band.high) / 2 == pytest.approx(2 * share / (1 + share))
    assert band.high - band.low == pytest.approx(2 * 1.966 * error, rel=5e-3)


def test_near_duplicates_widen_the_interval() -> None:
    y_true, y_pred, _ = _case(0, num_samples=120)
    tripled = [np.repeat(cells, 3, axis=0) for cells in (y_true, y_pred)]
    apart, together = np.arange(360), np.repeat(np.arange(120), 3)
    assert _width(*tripled, together) == pytest.approx(_width(y_true, y_pred, np.arange(120)), rel=1e-6)
    assert _width(*tripled, together) > 1.6 * _width(*tripled, apart)


def test_the_interval_of_a_difference_is_paired() -> None:
    """Two classifiers with errors on the same samples differ less than their own intervals suggest."""
    y_true, y_pred, groups = _case(5, num_samples=400)
    other = y_pred.copy()
    other[:3] = ~other[:3]
    one, two = (class_f1(y_true, answers, groups) for answers in (y_pred, other))
    band = (one - two).macro_interval()
    assert band
    assert band.high - band.low < 0.5 * _width(y_true, y_pred, groups)
    assert (one - one).macro_interval() == (0.0, 0.0)


def test_classes_in_few_groups_are_left_out_of_the_macro_f1() -> None:
    y_true, y_pred, groups = _case(1)
    y_true[:, 3] = groups < 4
    found, without = class_f1(y_true, y_pred, groups), class_f1(y_true[:, :3], y_pred[:, :3], groups)
    assert found.is_common.tolist() == [True, True, True, False]
    assert found.macro() == without.macro() == pytest.approx(f1_score(y_true[:, :3], y_pred[:, :3], average="macro"))
    assert found.macro_interval() == without.macro_interval()
    assert [band is None for band in found.class_intervals()] == [False, False, False, True]
    nothing = class_f1(y_true[:, 3:], y_pred[:, 3:], groups)
    assert (nothing.macro(), nothing.macro_interval()) == (None, None)


def test_few_groups_give_no_interval_for_the_macro_f1() -> None:
    y_true, y_pred, _ = _case(2, num_samples=MIN_GROUPS)
    assert class_f1(y_true, y_pred, np.arange(MIN_GROUPS)).macro_interval()
    assert class_f1(y_true, y_pred, np.maximum(np.arange(MIN_GROUPS) - 1, 0)).macro_interval() is None


def test_higher_confidence_and_fewer_groups_widen_the_interval_of_a_class() -> None:
    y_true, y_pred, groups = _case(3)
    y_true[:, 0] = groups < 5
    found = class_f1(y_true, y_pred, groups)
    widths = [[band.high - band.low for band in found.class_intervals(level) if band] for level in (0.95, 1 - 0.05 / 28)]
    # Quantiles of Student's t with 4 degrees of freedom: 7.41 to 2.78. With about 55: 3.28 to 2.00.
    assert np.divide(widths[1], widths[0]) == pytest.approx([7.41 / 2.78, *[3.28 / 2.00] * 3], rel=0.03)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_intervals_cover_the_estimand_in_about_95_of_100_splits(classifier: str) -> None:
    """At the published class frequencies: 93 to 97 % by `python -m benchmarks.evaluate`, +- 3 standard deviations."""
    found = measure_coverage(classifier, num_samples=300, num_splits=200)
    assert all(0.89 <= share <= 0.995 for share in found.covered.values()), found
    assert found.false_alarms <= 0.1
