"""Precision-recall and ROC curves."""

import math

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics

from components.evaluate.metrics import has_both_answers
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import BASELINE_COLOUR, CLASS_COLOUR, MODEL_COLOUR, decimal
from components.reports.page import Section, paragraphs, wide
from components.reports.plots import MAX_NAME, bare, figure, make_figure
from components.runtime.wording import shorten

_MAX_POINTS = 200
_NUM_COLUMNS = 5


def curves_section(data: ReportData) -> Section:
    """All pairs of sample and class together, and each class."""
    ranked = np.flatnonzero(has_both_answers(data.y_true))
    title = "Precision-recall and ROC curves"
    if not len(ranked):
        return Section(title, paragraphs("There are none: no class is shown by some samples but not by all."))
    plots = wide(figure(_overview(data, ranked), "Precision-recall and ROC curves of all classes together, and of each"))
    plots += wide(figure(_by_class(data, ranked), "Precision-recall curve of each class"))
    return Section(
        title,
        plots,
        "For all thresholds. Green: all pairs of sample and class; grey: each class. Below: the precision-recall curve of each "
        "class, with its average precision (AP) and the number of samples that show it; the red line is the baseline, and the "
        "dot marks the fitted threshold.",
    )


def _overview(data: ReportData, ranked: np.ndarray) -> Figure:
    plot = make_figure(10.5, 4.2)
    left, right = plot.subplots(1, 2)
    for k in ranked:
        left.plot(*_precision_recall(data.y_true[:, k], data.y_score[:, k]), color=CLASS_COLOUR, linewidth=0.7, alpha=0.7)
        right.plot(*_roc(data.y_true[:, k], data.y_score[:, k]), color=CLASS_COLOUR, linewidth=0.7, alpha=0.7)
    y_true, y_score = data.y_true.ravel(), data.y_score.ravel()
    left.plot(*_precision_recall(y_true, y_score), color=MODEL_COLOUR, linewidth=2.2)
    right.plot(*_roc(y_true, y_score), color=MODEL_COLOUR, linewidth=2.2)
    left.axhline(y_true.mean(), color=BASELINE_COLOUR, linewidth=1, linestyle="--")
    right.plot([0, 1], [0, 1], color=BASELINE_COLOUR, linewidth=1, linestyle="--")
    for axes, x, y in ((left, "recall", "precision"), (right, "false positive rate", "true positive rate")):
        axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.02))
        bare(axes)
    return plot


def _by_class(data: ReportData, ranked: np.ndarray) -> Figure:
    num_rows = math.ceil(len(ranked) / _NUM_COLUMNS)
    plot = make_figure(10.5, 0.4 + 1.75 * num_rows)
    panels = plot.subplots(num_rows, _NUM_COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, k in zip(panels, ranked, strict=False):
        score = data.classes[k]
        axes.plot(*_precision_recall(data.y_true[:, k], data.y_score[:, k]), color=MODEL_COLOUR, linewidth=1.3)
        axes.axhline(data.y_true[:, k].mean(), color=BASELINE_COLOUR, linewidth=0.8, linestyle="--")
        if data.y_pred[:, k].any():
            axes.plot(score.recall, score.precision, "o", color="#1b2733", markersize=4)
        words = f"{shorten(score.name, MAX_NAME)}\nAP {decimal(score.average_precision)} ({score.support})"
        axes.set_title(words, fontsize=7.5)
        axes.set(xlim=(0, 1), ylim=(0, 1.05), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.tick_params(labelsize=7)
        bare(axes)
    for axes in panels[len(ranked) :]:
        axes.set_visible(False)
    plot.supxlabel("recall", fontsize=9)
    plot.supylabel("precision", fontsize=9)
    return plot


def _precision_recall(y_true: np.ndarray, y_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = metrics.precision_recall_curve(y_true, y_score)
    return _thin(recall), _thin(precision)


def _roc(y_true: np.ndarray, y_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fpr, tpr, _ = metrics.roc_curve(y_true, y_score)
    return _thin(fpr), _thin(tpr)


def _thin(values: np.ndarray) -> np.ndarray:
    kept = np.unique(np.linspace(0, len(values) - 1, _MAX_POINTS).astype(int))
    return np.asarray(values[kept])
