import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from components.evaluate.thresholds import (
    GLOBAL,
    PER_CLASS,
    fit_class_thresholds,
    fit_global_threshold,
    fit_thresholds,
)


def _case(seed: int, num_samples: int, num_classes: int, shares: np.ndarray | float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y_true = random.random((num_samples, num_classes)) < shares
    y_score = np.clip(0.4 * y_true + 0.6 * random.random(y_true.shape), 0, 1)
    return y_true, np.round(y_score, 2).astype(np.float32)


def _f1(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(f1_score(y_true, y_pred, average="macro", zero_division=0))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_common_threshold_is_optimal_on_validation(seed: int) -> None:
    y_true, y_score = _case(seed, 40, 4)
    fitted = _f1(y_true, y_score >= np.float32(fit_global_threshold(y_true, y_score)))
    assert fitted == pytest.approx(max(_f1(y_true, y_score >= value) for value in np.unique(y_score)))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_class_thresholds_without_shrinkage_are_optimal_on_validation(seed: int) -> None:
    y_true, y_score = _case(seed, 40, 4)
    fitted = f1_score(y_true, y_score >= fit_class_thresholds(y_true, y_score, 0), average=None, zero_division=0)
    for k in range(4):
        best = max(f1_score(y_true[:, k], y_score[:, k] >= value, zero_division=0) for value in np.unique(y_score[:, k]))
        assert fitted[k] == pytest.approx(best)


def test_thresholds_lie_between_scores() -> None:
    y_true = np.array([[False], [False], [True], [True]])
    assert fit_global_threshold(y_true, np.array([[0.1], [0.2], [0.6], [0.9]], np.float32)) == pytest.approx(0.4)


def test_rare_classes_are_shrunk_further_towards_the_common_threshold() -> None:
    num_positive = np.array([400, 40, 4, 0])
    y_true = np.arange(1000)[:, None] < num_positive
    y_score = np.where(y_true, 0.9, 0.1).astype(np.float32) * np.array([1, 0.6, 0.1, 0.1], np.float32)
    common, own = fit_global_threshold(y_true, y_score), fit_class_thresholds(y_true, y_score, 0)
    assert own == pytest.approx([0.5, 0.3, 0.05, common])
    drawn = fit_class_thresholds(y_true, y_score, 20)
    kept = np.array([400 / 420, 40 / 60, 4 / 24, 0])
    odds = [np.log(t / (1 - t)) for t in (drawn, own, common)]
    assert odds[0] == pytest.approx(kept * odds[1] + (1 - kept) * odds[2], rel=1e-5)
    assert np.abs(odds[0] - odds[1])[2] > 0.3
    assert drawn.dtype == np.float32


def test_class_thresholds_are_used_only_if_significantly_better() -> None:
    y_true, y_score = _case(1, 600, 6)
    groups = np.arange(600)
    alike = fit_thresholds(y_true, y_score, groups, seed=0)
    assert alike.method == GLOBAL
    assert len(set(alike.thresholds.tolist())) == 1
    apart = (y_score * np.array([1, 0.8, 0.6, 0.4, 0.2, 0.1])).astype(np.float32)
    fitted = fit_thresholds(y_true, apart, groups, seed=0)
    assert fitted.method == PER_CLASS
    assert fitted.gain
    assert fitted.gain.low > 0
    assert fitted.f1_per_class > fitted.f1_global
    assert (np.diff(fitted.thresholds) < 0).all()
    again = fit_thresholds(y_true, apart, groups, seed=0)
    assert (again.gain, again.thresholds.tolist()) == (fitted.gain, fitted.thresholds.tolist())


def test_too_few_groups_always_get_one_threshold() -> None:
    y_true, y_score = _case(2, 60, 4)
    fitted = fit_thresholds(y_true, y_score, np.arange(60) // 4, seed=0)
    assert (fitted.method, fitted.gain) == (GLOBAL, None)


def test_thresholds_of_rare_classes_without_shrinkage_overfit() -> None:
    """See benchmarks/thresholds.py for the same at the competition's size."""
    shares = np.array([0.4, 0.3] + [0.02] * 8)
    promised, kept = np.zeros(2), np.zeros(2)
    for seed in range(10):
        fitted_on, new = (_case(1000 * seed + k, size, 10, shares) for k, size in enumerate((200, 4000)))
        for position, shrinkage in enumerate((0.0, 20.0)):
            thresholds = fit_class_thresholds(*fitted_on, shrinkage)
            promised[position] += _f1(fitted_on[0], fitted_on[1] >= thresholds) / 10
            kept[position] += _f1(new[0], new[1] >= thresholds) / 10
    assert promised[0] > promised[1]
    assert kept[0] < kept[1]
