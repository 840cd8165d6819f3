import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import accuracy_score, f1_score

from components.evaluate.blessing import bless
from components.evaluate.metrics import class_scores, confusion, micro_roc, scoreboard
from components.evaluate.thresholds import fit_global_threshold
from components.shared.labels import PUBLISHED_COUNTS


@st.composite
def decisions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


@given(decisions())
def test_figures_are_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_pred = pair
    figures = scoreboard(y_true, np.where(y_pred, 0.7, 0.2), threshold=0.6)
    assert figures["accuracy"] == pytest.approx(accuracy_score(y_true.ravel(), y_pred.ravel()))
    assert figures["f1_macro"] == pytest.approx(f1_score(y_true, y_pred, average="macro", zero_division=0))
    assert figures["accuracy_floor"] == pytest.approx(accuracy_score(y_true.ravel(), np.zeros(y_true.size, bool)))
    assert figures["f1_micro_floor"] == pytest.approx(f1_score(y_true.ravel(), np.ones(y_true.size, bool), zero_division=0))


def test_the_floor_of_accuracy_on_the_published_labels_is_94_percent() -> None:
    """Facts about the competition's label file: always answering no is right in 94.163 % of all cells."""
    present = sum(PUBLISHED_COUNTS.values()) / 31072 / 28
    assert 1 - present == pytest.approx(0.94163, abs=5e-6)
    y_true = np.zeros((31072, 28), bool)
    for column, count in enumerate(PUBLISHED_COUNTS.values()):
        y_true[:count, column] = True
    assert scoreboard(y_true, ~y_true, 0.5)["accuracy_floor"] == pytest.approx(0.94163, abs=5e-6)
    # Perfect on the three commonest classes and no on the others: a splendid accuracy, and hardly any macro F1.
    y_pred = y_true & np.isin(np.arange(28), [0, 25, 21])
    figures = scoreboard(y_true, y_pred.astype(float), 0.5)
    assert figures["accuracy"] == pytest.approx(0.9702, abs=5e-5)
    assert figures["f1_macro"] == pytest.approx(3 / 28)


def test_accuracy_is_the_papers_at_one_half_and_f1_is_at_the_fitted_threshold() -> None:
    y_true = np.array([[True, False]])
    figures = scoreboard(y_true, np.array([[0.3, 0.1]]), threshold=0.2)
    assert (figures["accuracy"], figures["f1_micro"]) == (0.5, 1.0)


def test_an_absent_class_scores_0_and_says_that_its_support_is_0() -> None:
    y_true = np.array([[True, False], [True, False], [False, False]])
    y_pred = np.array([[True, True], [False, False], [False, False]])
    first, second = class_scores(y_true, y_pred, np.array([0.3, 0.4]), ["here", "absent"])
    assert (first.name, first.support, first.precision, first.recall, first.threshold) == ("here", 2, 1.0, 0.5, 0.3)
    assert first.f1 == pytest.approx(2 / 3)
    assert first.f1_floor == pytest.approx(0.8)
    assert (second.support, second.f1, second.f1_floor) == (0, 0.0, 0.0)


def test_the_confusion_matrix_counts_all_pairs_of_sample_and_class() -> None:
    y_true = np.array([[True, False], [True, False], [False, False]])
    y_pred = np.array([[True, True], [False, False], [False, False]])
    assert confusion(y_true, y_pred) == [[3, 1], [1, 1]]


def test_the_roc_curve_is_thinned_and_goes_from_corner_to_corner() -> None:
    random = np.random.default_rng(0)
    y_true = random.random((500, 4)) < 0.3
    roc = micro_roc(y_true, np.where(y_true, 0.2, 0.0) + random.random((500, 4)) * 0.8)
    assert len(roc["fpr"]) == len(roc["tpr"]) == len(roc["threshold"]) <= 100
    assert (roc["fpr"][0], roc["tpr"][0]) == (0.0, 0.0)
    assert (roc["fpr"][-1], roc["tpr"][-1]) == (1.0, 1.0)
    assert max(roc["threshold"]) <= 1.0


def test_there_is_no_roc_curve_where_one_answer_never_occurs() -> None:
    assert micro_roc(np.zeros((3, 2), bool), np.zeros((3, 2))) == {"fpr": [], "tpr": [], "threshold": []}


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_no_other_threshold_is_better_on_validation(seed: int) -> None:
    random = np.random.default_rng(seed)
    y_true = random.random((40, 4)) < 0.3
    y_score = np.clip(0.3 * y_true + 0.7 * random.random((40, 4)), 0, 1)
    fitted = scoreboard(y_true, y_score, fit_global_threshold(y_true, y_score))["f1_macro"]
    best = max(f1_score(y_true, y_score >= value, average="macro", zero_division=0) for value in y_score.ravel())
    assert fitted == pytest.approx(best)


def test_a_model_is_blessed_for_its_macro_f1_and_never_for_its_accuracy() -> None:
    good = {"f1_macro": 0.2, "f1_macro_floor": 0.1, "accuracy": 0.5, "accuracy_floor": 0.94}
    blind = {"f1_macro": 0.1, "f1_macro_floor": 0.1, "accuracy": 0.99, "accuracy_floor": 0.94}
    assert bless(good, "test", min_gain=0.0).blessed
    assert not bless(blind, "test", min_gain=0.0).blessed
    assert not bless(good, "test", min_gain=0.1).blessed
    assert "0.200" in bless(good, "test", 0.0).reasons[0]


def test_without_a_test_split_there_is_no_blessing() -> None:
    verdict = bless({"f1_macro": 0.9, "f1_macro_floor": 0.1}, "validation", 0.0)
    assert not verdict.blessed
    assert "no test split" in verdict.reasons[0]
