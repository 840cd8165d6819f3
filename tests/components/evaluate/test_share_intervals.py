import numpy as np
import pytest
from scipy.stats import binomtest

from components.evaluate.f1_intervals import Interval
from components.evaluate.share_intervals import share_intervals


def _interval(num_hits: int, num_cases: int, group_size: int = 1) -> Interval | None:
    """The interval of a class that half of the samples show, in groups of equal size."""
    cases = np.repeat([True, False], num_cases)[:, None]
    hits = (np.arange(2 * num_cases) < num_hits)[:, None]
    (found,) = share_intervals(hits, cases, np.arange(2 * num_cases) // group_size)
    return found


@pytest.mark.parametrize(("num_hits", "num_cases"), [(0, 4), (3, 3), (7, 20), (990, 1000)])
def test_independent_samples_give_the_exact_binomial_interval(num_hits: int, num_cases: int) -> None:
    expected = binomtest(num_hits, num_cases).proportion_ci(0.95, method="exact")
    assert _interval(num_hits, num_cases) == pytest.approx((expected.low, expected.high))


def test_a_group_counts_as_one_sample() -> None:
    assert _interval(40, 80, group_size=4) == pytest.approx(_interval(10, 20))


def test_groups_of_unequal_sizes_count_as_fewer_samples_than_groups() -> None:
    cases = np.ones((30, 1), bool)
    hits = np.arange(30)[:, None] % 2 == 0
    groups = np.r_[np.zeros(20, int), 1:11]  # one group of 20 samples, and 10 groups of one
    (uneven,) = share_intervals(hits, cases, groups)
    (even,) = share_intervals(hits[:22], cases[:22], np.arange(22) // 2)
    assert uneven
    assert even
    assert uneven.low < even.low < 0.5 < even.high < uneven.high


def test_a_class_without_cases_has_no_interval() -> None:
    nothing = np.zeros((5, 1), bool)
    assert share_intervals(nothing, nothing, np.arange(5)) == [None]
