"""Which classes are taken for which others."""

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import paragraphs
from components.reports.page import Section, table
from components.reports.plots import figure, make_figure, shortened
from components.runtime.wording import count_of

_NUM_LISTED = 8


def error_counts(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """How many samples lack a yes for the class of the row and have a wrong yes for that of the column: (classes, classes)."""
    missed, wrong = y_true & ~y_pred, y_pred & ~y_true
    return missed.T.astype(np.int64) @ wrong.astype(np.int64)


def errors_section(data: ReportData) -> Section:
    """Errors that occur together, as a picture and as a list."""
    counts = error_counts(data.y_true, data.y_pred)
    missed, wrong = (data.y_true & ~data.y_pred), (data.y_pred & ~data.y_true)
    title = "Which errors occur together"
    num_right = int((~(missed | wrong).any(axis=1)).sum())
    summary = paragraphs(
        f"On {count_of(len(data.ids), 'image')}, {missed.sum():,} of {data.y_true.sum():,} classes were missed and "
        f"{wrong.sum():,} answered wrongly; {count_of(num_right, 'image')} have every class right."
    )
    if not counts.any():
        return Section(title, summary + paragraphs("No image misses one class and has another wrongly."))
    return Section(
        title,
        Markup("{}{}{}").format(
            summary,
            figure(_matrix(counts, data.class_names), "Missed classes against wrongly answered ones"),
            _list(counts, data.class_names),
        ),
        "Rows: a class that the image shows and the network missed. Columns: what it answered wrongly on the same image. A "
        "dark square off the diagonal is a confusion; a dark column is a class that is answered too easily.",
    )


def _matrix(counts: np.ndarray, names: list[str]) -> Figure:
    rows, columns = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    shown = counts[np.ix_(rows, columns)]
    plot = make_figure(3.2 + 0.27 * len(columns), 2.4 + 0.25 * len(rows))
    axes = plot.subplots()
    axes.pcolormesh(shown, cmap="Oranges", edgecolors="#e5eaf0", linewidth=0.5, vmin=0)
    for row, column in zip(*np.nonzero(shown), strict=True):
        colour = "white" if shown[row, column] > 0.6 * shown.max() else "#1b2733"
        axes.text(column + 0.5, row + 0.5, shown[row, column], ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [shortened(names[k]) for k in rows], fontsize=8)
    titles = [shortened(names[k]) for k in columns]
    axes.set_xticks(np.arange(len(columns)) + 0.5, titles, fontsize=8, rotation=60, ha="right")
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set(xlabel="answered wrongly on the same image", ylabel="missed")
    axes.spines[:].set_visible(False)
    return plot


def _list(counts: np.ndarray, names: list[str]) -> Markup:
    order = np.argsort(-counts, axis=None, kind="stable")[:_NUM_LISTED]
    pairs = [(int(k // len(names)), int(k % len(names))) for k in order]
    rows = [[names[row], names[column], int(counts[row, column])] for row, column in pairs if counts[row, column]]
    return table(["Missed", "answered wrongly instead", "images"], rows)
