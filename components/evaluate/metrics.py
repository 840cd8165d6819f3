"""Metrics of a multi-label classifier with their baselines: the scores of trivial classifiers, which ignore the images.

Conventions. F1 is scikit-learn's with `zero_division=0`, as in the competition, whose metric is the macro F1: a class that is
absent from all samples, or never predicted, counts as 0 there, for the model and the baselines alike. The macro F1 that decides
the verdict is over the common classes alone: see `f1_intervals`. Average precision and ROC AUC are undefined for a class that
all samples show or none: macro averages skip such classes, and are left out if no class remains. Accuracy is element-wise at a
threshold of 0.5, as in the paper.
"""

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from components.artifacts.labels import f1_macro
from components.evaluate.calibration import reliability
from components.evaluate.f1_intervals import Interval

PAPER_THRESHOLD = 0.5

# The metrics by name, with their titles.
TITLES = {
    "f1_macro_common": "F1, macro average over common classes",
    "f1_macro": "F1, macro average over all classes",
    "f1_micro": "F1, micro average",
    "f1_samples": "F1, average over samples",
    "average_precision_macro": "Average precision, macro average",
    "roc_auc_macro": "ROC AUC, macro average",
    "subset_accuracy": "Subset accuracy (all classes of an image right)",
    "accuracy": "Accuracy, element-wise at 0.5",
    "log_loss": "Log loss (smaller is better)",
    "calibration_error": "Expected calibration error (smaller is better)",
}

ALWAYS_NO, CLASS_PRIOR, THREE_COMMONEST = "always_no", "class_prior", "three_commonest"
BASELINE_TITLES = {ALWAYS_NO: "predicting nothing", CLASS_PRIOR: "class frequencies"}
# Other scores for comparison. A reference uses labels, so it is not a baseline and does not affect the verdict.
REFERENCE_TITLES = {THREE_COMMONEST: "perfect on the 3 commonest classes"}
# A metric's baseline is that of the class frequencies, which predict everything, except where predicting nothing scores higher.
_METRIC_BASELINES = {"accuracy": ALWAYS_NO, "subset_accuracy": ALWAYS_NO}
_MAX_ROC_POINTS = 100


@dataclass(frozen=True)
class Answers:
    """A classifier's `y_score` (probabilities) and `y_pred` (bool), both of shape (samples, classes)."""

    y_score: np.ndarray
    y_pred: np.ndarray


@dataclass(frozen=True)
class Scores:
    """The outputs of a model for one split.

    Attributes:
        ids: The samples.
        y_true: bool, shape (samples, classes).
        y_score: Probabilities: float32, the same shape. Values out of range are clipped to 0 or 1, and NaN is 0.
        num_invalid: The number of outputs that were not numbers from 0 to 1.
        distances: The distances from the training images: float32, shape (samples,); None if the model does not give them.
    """

    ids: list[str]
    y_true: np.ndarray
    y_score: np.ndarray
    num_invalid: int = 0
    distances: np.ndarray | None = None


@dataclass(frozen=True)
class ClassScore:
    """The metrics of one class on one split.

    Attributes:
        support: The number of samples that show it. If it is 0, F1 is 0 in the macro average and otherwise meaningless.
        num_predicted: The number of samples that it is predicted for.
        num_found: The number of samples that show it and that it is predicted for.
        f1_baseline: F1 of predicting the class for every sample.
        average_precision: None if no sample shows the class, or all do.
        num_groups: The number of groups of samples that show it.
        f1_interval: The 95 % interval of F1, if it has one.
        precision_interval: The interval of precision; None for a class that is never predicted.
        recall_interval: The interval of recall; None for a class that no sample shows.
    """

    name: str
    support: int
    num_predicted: int
    num_found: int
    precision: float
    recall: float
    f1: float
    f1_baseline: float
    average_precision: float | None
    threshold: float
    num_groups: int = 0
    f1_interval: Interval | None = None
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None


def figures(y_true: np.ndarray, answers: Answers, common: np.ndarray | None = None) -> dict[str, float]:
    """The metrics over all classes by name, and macro F1 over the common ones. Undefined metrics are left out.

    Args:
        y_true: bool, shape (samples, classes).
        answers: The classifier's predictions for the same samples.
        common: The classes that `f1_macro_common` is over, if any: bool, shape (classes,).
    """
    y_score, y_pred = answers.y_score, answers.y_pred
    found = {
        "accuracy": float((y_true == (y_score >= PAPER_THRESHOLD)).mean()),
        "subset_accuracy": float((y_true == y_pred).all(axis=1).mean()),
        "f1_macro": _f1(y_true, y_pred, "macro"),
        "f1_micro": _f1(y_true, y_pred, "micro"),
        "f1_samples": _f1(y_true, y_pred, "samples"),
        "log_loss": float(metrics.log_loss(y_true.ravel(), y_score.ravel(), labels=[False, True])),
        "calibration_error": reliability(y_true, y_score).error,
    }
    if common is not None and common.any():
        found["f1_macro_common"] = f1_macro(y_true[:, common], y_pred[:, common])
    ranked = has_both_answers(y_true)
    if ranked.any():
        found["average_precision_macro"] = float(
            metrics.average_precision_score(y_true[:, ranked], y_score[:, ranked], average="macro")
        )
        found["roc_auc_macro"] = float(metrics.roc_auc_score(y_true[:, ranked], y_score[:, ranked], average="macro"))
    return found


def has_both_answers(y_true: np.ndarray) -> np.ndarray:
    """Which classes some samples show and some do not: bool, shape (classes,)."""
    return np.asarray(y_true.any(axis=0) & ~y_true.all(axis=0))


def baseline_answers(y_true: np.ndarray) -> dict[str, Answers]:
    """The answers of trivial classifiers, by name.

    `always_no` predicts nothing. `class_prior` scores each class with its frequency in these samples, the best constant score,
    and predicts everything, the best constant prediction in terms of F1.

    Args:
        y_true: bool, shape (samples, classes).
    """
    nothing = np.zeros(y_true.shape, np.float32)
    prior = np.broadcast_to(y_true.mean(axis=0, dtype=np.float32), y_true.shape)
    return {ALWAYS_NO: Answers(nothing, nothing > 0), CLASS_PRIOR: Answers(prior, np.ones_like(y_true))}


def reference_answers(y_true: np.ndarray) -> dict[str, Answers]:
    """The answers of a classifier that is perfect on the three commonest classes and never predicts another, by name.

    Empty if these are more than half of the classes, or the only ones in the samples, as it would be uninformative.

    Args:
        y_true: bool, shape (samples, classes).
    """
    commonest = np.argsort(-y_true.sum(axis=0), kind="stable")[:3]
    three = np.zeros_like(y_true)
    three[:, commonest] = y_true[:, commonest]
    if 2 * len(commonest) > y_true.shape[1] or (three == y_true).all():
        return {}
    return {THREE_COMMONEST: Answers(three.astype(np.float32), three)}


def scoreboard(y_true: np.ndarray, y_score: np.ndarray, thresholds: np.ndarray | float) -> dict[str, float]:
    """The metrics over all classes, each with its baseline.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        thresholds: A class is predicted at or above its threshold: one for all classes, or one per class.

    Returns:
        Each metric by its name, and its baseline as `<name>_baseline`: the class frequencies, or for accuracies predicting
        nothing.
    """
    baselines = {name: figures(y_true, answers) for name, answers in baseline_answers(y_true).items()}
    return beside_baselines(figures(y_true, Answers(y_score, y_score >= thresholds)), baselines)


def beside_baselines(found: dict[str, float], baselines: dict[str, dict[str, float]]) -> dict[str, float]:
    """Adds the baselines to metrics as in `scoreboard`, from the metrics of each of `baseline_answers`."""
    return found | {f"{name}_baseline": baselines[_METRIC_BASELINES.get(name, CLASS_PRIOR)][name] for name in found}


def class_scores(y_true: np.ndarray, y_score: np.ndarray, thresholds: np.ndarray, names: list[str]) -> list[ClassScore]:
    """The figures of each class.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        thresholds: Shape (classes,).
        names: The names of the classes.
    """
    y_pred = y_score >= thresholds
    precision, recall, f1, support = metrics.precision_recall_fscore_support(y_true, y_pred, average=None, zero_division=0)
    baseline = metrics.f1_score(y_true, np.ones_like(y_true), average=None, zero_division=0)
    ranked = has_both_answers(y_true)
    return [
        ClassScore(
            name=name,
            support=int(support[k]),
            num_predicted=int(y_pred[:, k].sum()),
            num_found=int((y_true[:, k] & y_pred[:, k]).sum()),
            precision=float(precision[k]),
            recall=float(recall[k]),
            f1=float(f1[k]),
            f1_baseline=float(baseline[k]),
            average_precision=float(metrics.average_precision_score(y_true[:, k], y_score[:, k])) if ranked[k] else None,
            threshold=float(thresholds[k]),
        )
        for k, name in enumerate(names)
    ]


def micro_roc(y_true: np.ndarray, y_score: np.ndarray) -> dict[str, list[float]]:
    """The ROC curve over all pairs of sample and class, thinned to at most 100 points.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.

    Returns:
        `fpr`, `tpr` and `threshold`: lists of equal length. Empty if all pairs are positive, or none.
    """
    if y_true.all() or not y_true.any():
        return {"fpr": [], "tpr": [], "threshold": []}
    fpr, tpr, threshold = metrics.roc_curve(y_true.ravel(), y_score.ravel())
    kept = np.unique(np.linspace(0, len(fpr) - 1, _MAX_ROC_POINTS).astype(int))
    finite = np.minimum(threshold[kept], 1.0)  # scikit-learn's first threshold is infinite, which JSON cannot hold
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist(), "threshold": finite.tolist()}


def confusion(y_true: np.ndarray, y_pred: np.ndarray) -> list[list[int]]:
    """Counts over all pairs of sample and class: rows are absent and present in truth, columns as predicted.

    Args:
        y_true: bool, shape (samples, classes).
        y_pred: bool, the same shape.
    """
    return metrics.confusion_matrix(y_true.ravel(), y_pred.ravel(), labels=[False, True]).tolist()


def _f1(y_true: np.ndarray, y_pred: np.ndarray, average: str) -> float:
    return float(metrics.f1_score(y_true, y_pred, average=average, zero_division=0))
