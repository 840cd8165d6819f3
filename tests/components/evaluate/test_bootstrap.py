import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from components.evaluate.bootstrap import Resamples, interval, number_groups, resample_figures
from components.evaluate.metrics import Answers, figures, has_both_answers
from components.evaluate.ranking import ranking_resamples


def _case(seed: int, num_samples: int = 40, num_classes: int = 5) -> tuple[np.ndarray, Answers, np.ndarray]:
    """Truth, predictions with many equal scores, and groups. No sample shows the last class, all show the one before it."""
    random = np.random.default_rng(seed)
    y_true = random.random((num_samples, num_classes)) < 0.25
    y_true[:, -1], y_true[:, -2] = False, True
    y_score = np.round(0.4 * y_true + 0.6 * random.random(y_true.shape), 1).astype(np.float32)
    groups = np.unique(random.integers(0, 25, num_samples), return_inverse=True)[1]
    return y_true, Answers(y_score, y_score >= np.float32(0.5)), groups


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_figures_of_resamples_equal_scikit_learns_on_their_rows(seed: int) -> None:
    y_true, answers, groups = _case(seed)
    resamples = Resamples(groups, seed, num_resamples=4)
    found = resample_figures(y_true, answers, resamples)
    assert set(found) == set(figures(y_true, answers)) - {"f1_macro"}
    precision, area = ranking_resamples(y_true, answers.y_score, groups, resamples.counts)
    for k, counts in enumerate(resamples.counts.astype(int)):
        rows = np.repeat(np.arange(len(groups)), counts[groups])
        truth, said = y_true[rows], Answers(answers.y_score[rows], answers.y_pred[rows])
        expected = figures(truth, said)
        for name, values in found.items():
            assert values[k] == pytest.approx(expected[name], abs=1e-5), name
        ranked = has_both_answers(truth)
        for values, function in ((precision, average_precision_score), (area, roc_auc_score)):
            assert np.isnan(values[k]).tolist() == (~ranked).tolist()
            by_class = function(truth[:, ranked], said.y_score[:, ranked], average=None)
            assert values[k, ranked] == pytest.approx(by_class, abs=1e-5)


def test_resamples_draw_whole_groups_and_as_many_as_there_are() -> None:
    groups = np.array([0, 0, 0, 1, 2, 2])
    resamples = Resamples(groups, seed=1, num_resamples=200)
    assert (resamples.counts.sum(axis=1) == 3).all()
    drawn = resamples.sums(np.eye(6))
    assert (drawn[:, :1] == drawn[:, :3]).all()
    assert (drawn[:, 4] == drawn[:, 5]).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(6), abs=0.2)


def test_intervals_are_reproducible_and_wider_with_near_duplicates() -> None:
    y_true, answers, _ = _case(0, num_samples=60)
    alone, in_threes = np.arange(60), np.repeat(np.arange(20), 3)
    repeated = (np.repeat(y_true[:20], 3, axis=0), Answers(*(np.repeat(a[:20], 3, axis=0) for a in vars(answers).values())))

    def width(groups: np.ndarray, seed: int) -> float:
        values = resample_figures(*repeated, Resamples(groups, seed))["f1_micro"]
        return float(np.subtract(*reversed(interval(0.5, values))))

    assert width(alone, 3) == width(alone, 3) != width(alone, 4)
    assert width(in_threes, 3) > 1.3 * width(alone, 3)


def test_an_interval_contains_its_figure_and_ignores_nan() -> None:
    values = np.r_[np.linspace(0.1, 0.5, 1001), np.full(50, np.nan)]
    found = interval(0.4, values)
    assert found == pytest.approx((0.21, 0.59))
    assert interval(0.4, values, confidence=0.5) == pytest.approx((0.3, 0.5))


def test_an_interval_contains_the_mean_figure_in_about_95_of_100_splits() -> None:
    random = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        right = random.random((80, 1)) < 0.7
        values = Resamples(np.arange(80), seed, 400).sums(right)[:, 0] / 80
        low, high = interval(float(right.mean()), values)
        held += low <= 0.7 <= high
    assert 180 <= held <= 198


def test_groups_are_numbered_without_gaps() -> None:
    groups = {"a": "pair", "b": "alone", "c": "pair", "d": "of another split"}
    assert number_groups(["c", "b", "a"], groups).tolist() == [1, 0, 1]


def test_a_sample_without_a_group_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 samples are in no group, for example b: every sample needs one"):
        number_groups(["a", "b"], {"a": "a"})
