"""The metrics of each class."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from components.evaluate.f1_intervals import MIN_CLASS_GROUPS
from components.evaluate.metrics import ClassScore
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import BASELINE_COLOUR, MODEL_COLOUR, bare, numbers, span, wide
from components.reports.page import Section, table
from components.reports.plots import figure, make_figure, shortened


def classes_section(data: ReportData) -> Section:
    """F1 of each class as a figure, and all its figures as a table."""
    shown = sorted((c for c in data.classes if c.support), key=lambda c: (c.support, c.name))
    plot = figure(_bars(shown), "F1 of each class with its interval and its baseline") if shown else ""
    rows = [_row(score) for score in data.classes]
    header = ["Class", "support", "precision", "recall", "F1", "95 % interval", "F1 baseline", "average precision", "threshold"]
    return Section(
        "Classes",
        plot + wide(table(header, rows)),
        "Support: how many samples show the class. Without any, nothing is known of it (-). The lines are 95 % intervals: with "
        f"few positives they are wide, and the F1 says little. Classes in fewer than {MIN_CLASS_GROUPS} groups have none, nor "
        "have those whose F1 is 0 or 1: nothing scatters there, which says little about other samples. The baseline is to "
        "predict the class for every sample.",
    )


def _row(score: ClassScore) -> list[object]:
    if not score.support:
        return [score.name, 0, *numbers(None, None, None, None, None, None, score.threshold)]
    values = numbers(score.precision, score.recall, score.f1, span(score.f1_low, score.f1_high), score.f1_baseline)
    return [score.name, score.support, *values, *numbers(score.average_precision, score.threshold)]


def _bars(shown: Sequence[ClassScore]) -> Figure:
    plot = make_figure(9.5, 1 + 0.27 * len(shown))
    axes = plot.subplots()
    rows = range(len(shown))
    axes.barh(rows, [c.f1 for c in shown], color=MODEL_COLOUR, alpha=0.75, label="model")
    axes.hlines(rows, [c.f1_low or 0 for c in shown], [c.f1_high or 0 for c in shown], color="#1b2733", linewidth=1.2)
    axes.scatter([c.f1_baseline for c in shown], rows, color=BASELINE_COLOUR, marker="|", s=90, zorder=3, label="baseline")
    axes.set_yticks(rows, [f"{shortened(c.name)} ({c.support})" for c in shown])
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("F1 (in brackets: how many samples show the class)")
    axes.legend(loc="lower right")
    bare(axes)
    return plot
