import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from components.artifacts.labels import PUBLISHED_COUNTS
from components.evaluate.metrics import (
    TITLES,
    Answers,
    baseline_answers,
    class_scores,
    confusion,
    figures,
    has_both_answers,
    micro_roc,
    reference_answers,
    scoreboard,
)


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities, many of them equal."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))
    eighths = draw(arrays(np.int8, shape, elements=st.integers(0, 8)))
    return draw(arrays(bool, shape)), (eighths / 8).astype(np.float32)


def _published() -> np.ndarray:
    """As many positives per class as in the competition's label file, all in the first samples."""
    y_true = np.zeros((31072, 28), bool)
    for column, count in enumerate(PUBLISHED_COUNTS.values()):
        y_true[:count, column] = True
    return y_true


@given(scored())
def test_figures_equal_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_score = pair
    y_pred = y_score >= 0.6
    found = scoreboard(y_true, y_score, 0.6)
    assert found["accuracy"] == pytest.approx(accuracy_score(y_true.ravel(), y_score.ravel() >= 0.5))
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(y_true, y_pred))
    for average in ("macro", "micro", "samples"):
        assert found[f"f1_{average}"] == pytest.approx(f1_score(y_true, y_pred, average=average, zero_division=0))
    assert found["log_loss"] == pytest.approx(log_loss(y_true.ravel(), y_score.ravel(), labels=[False, True]))
    ranked = [k for k in range(y_true.shape[1]) if len(set(y_true[:, k])) == 2]
    assert np.flatnonzero(has_both_answers(y_true)).tolist() == ranked
    assert ("average_precision_macro" in found) == ("roc_auc_macro" in found) == bool(ranked)
    if ranked:
        precision = [average_precision_score(y_true[:, k], y_score[:, k]) for k in ranked]
        assert found["average_precision_macro"] == pytest.approx(np.mean(precision))
        assert found["roc_auc_macro"] == pytest.approx(np.mean([roc_auc_score(y_true[:, k], y_score[:, k]) for k in ranked]))


@given(scored())
def test_baselines_are_the_figures_of_constant_predictions(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_score = pair
    found = scoreboard(y_true, y_score, 0.6)
    yes = np.ones_like(y_true)
    assert found["accuracy_baseline"] == pytest.approx(accuracy_score(y_true.ravel(), np.zeros(y_true.size, bool)))
    for average in ("macro", "micro", "samples"):
        assert found[f"f1_{average}_baseline"] == pytest.approx(f1_score(y_true, yes, average=average, zero_division=0))
    if "roc_auc_macro" in found:
        assert found["roc_auc_macro_baseline"] == pytest.approx(0.5)
    # No constant scores have a smaller log loss than the class frequencies.
    constant = figures(y_true, Answers(np.full(y_true.shape, 0.3, np.float32), yes))
    assert found["log_loss_baseline"] <= constant["log_loss"] + 1e-6


@given(scored())
def test_class_scores_equal_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, y_score = pair
    thresholds = np.linspace(0.2, 0.8, y_true.shape[1], dtype=np.float32)
    names = [str(k) for k in range(y_true.shape[1])]
    found = class_scores(y_true, y_score, thresholds, names)
    expected = precision_recall_fscore_support(y_true, y_score >= thresholds, average=None, zero_division=0)
    for column, name in enumerate(("precision", "recall", "f1", "support")):
        assert [getattr(score, name) for score in found] == pytest.approx(expected[column].tolist())
    for k, score in enumerate(found):
        precision = average_precision_score(y_true[:, k], y_score[:, k]) if len(set(y_true[:, k])) == 2 else None
        assert score.average_precision == precision


def test_every_figure_has_a_title() -> None:
    y_true = np.array([[True, False], [False, True]])
    assert set(figures(y_true, Answers(y_true.astype(np.float32), y_true), common=np.array([True, False]))) == set(TITLES)


def test_macro_f1_over_common_classes_leaves_out_the_others() -> None:
    y_true = np.array([[True, False], [True, True]])
    answers = Answers(np.zeros((2, 2), np.float32), np.array([[True, True], [False, True]]))
    assert figures(y_true, answers, np.array([True, False]))["f1_macro_common"] == pytest.approx(2 / 3)
    assert "f1_macro_common" not in figures(y_true, answers, np.array([False, False]))
    assert "f1_macro_common" not in figures(y_true, answers)


def test_predicting_nothing_is_right_for_94_percent_of_the_published_labels() -> None:
    """Facts about the competition's label file: predicting nothing is right in 94.163 % of all pairs of sample and class."""
    y_true = _published()
    baselines = {name: figures(y_true, answers) for name, answers in baseline_answers(y_true).items()}
    assert baselines["always_no"]["accuracy"] == pytest.approx(0.94163, abs=5e-6)
    assert baselines["always_no"]["f1_macro"] == 0
    shares = y_true.mean(axis=0)
    assert baselines["class_prior"]["f1_macro"] == pytest.approx((2 * shares / (1 + shares)).mean())
    assert baselines["class_prior"]["average_precision_macro"] == pytest.approx(shares.mean(), rel=1e-5)


def test_perfect_on_the_three_commonest_classes_gives_high_accuracy_but_low_macro_f1() -> None:
    y_true = _published()
    (found,) = (figures(y_true, answers) for answers in reference_answers(y_true).values())
    assert found["accuracy"] == pytest.approx(0.9702, abs=5e-5)
    assert found["f1_macro"] == pytest.approx(3 / 28)


def test_there_is_no_reference_with_only_three_classes() -> None:
    y_true = np.zeros((4, 28), bool)
    y_true[[0, 1, 2], [3, 5, 7]] = True
    assert reference_answers(y_true) == {}
    assert reference_answers(np.eye(5, dtype=bool)) == {}


def test_accuracy_uses_one_half_and_f1_the_fitted_threshold() -> None:
    y_true = np.array([[True, False]])
    found = scoreboard(y_true, np.array([[0.3, 0.1]], np.float32), 0.2)
    assert (found["accuracy"], found["f1_micro"]) == (0.5, 1.0)


def test_an_absent_class_counts_as_0_and_has_support_0() -> None:
    y_true = np.array([[True, False], [True, False], [False, False]])
    y_score = np.array([[0.9, 0.9], [0.1, 0.1], [0.1, 0.1]], np.float32)
    first, second = class_scores(y_true, y_score, np.array([0.3, 0.4], np.float32), ["here", "absent"])
    assert (first.name, first.support, first.precision, first.recall) == ("here", 2, 1.0, 0.5)
    assert first.threshold == pytest.approx(0.3)
    assert first.f1 == pytest.approx(2 / 3)
    assert first.f1_baseline == pytest.approx(0.8)
    assert (second.support, second.f1, second.f1_baseline, second.average_precision) == (0, 0.0, 0.0, None)


def test_the_confusion_matrix_counts_all_pairs_of_sample_and_class() -> None:
    y_true = np.array([[True, False], [True, False], [False, False]])
    y_pred = np.array([[True, True], [False, False], [False, False]])
    assert confusion(y_true, y_pred) == [[3, 1], [1, 1]]


def test_the_roc_curve_is_thinned_and_keeps_both_corners() -> None:
    random = np.random.default_rng(0)
    y_true = random.random((500, 4)) < 0.3
    roc = micro_roc(y_true, np.where(y_true, 0.2, 0.0) + random.random((500, 4)) * 0.8)
    assert len(roc["fpr"]) == len(roc["tpr"]) == len(roc["threshold"]) <= 100
    assert (roc["fpr"][0], roc["tpr"][0]) == (0.0, 0.0)
    assert (roc["fpr"][-1], roc["tpr"][-1]) == (1.0, 1.0)
    assert max(roc["threshold"]) <= 1.0


def test_there_is_no_roc_curve_for_a_single_kind_of_truth() -> None:
    assert micro_roc(np.zeros((3, 2), bool), np.zeros((3, 2))) == {"fpr": [], "tpr": [], "threshold": []}
