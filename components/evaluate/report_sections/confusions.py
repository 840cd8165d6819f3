"""The classes that are mistaken for others."""

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from components.evaluate.confusions import MIN_GROUPS, MIN_RATIO, error_counts
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import figures
from components.reports.page import Section, paragraphs, table, wide
from components.reports.plots import MAX_NAME, figure, make_figure
from components.runtime.wording import count_of, shorten

_MAX_LISTED, _MAX_SHOWN = 10, 30


def confusions_section(data: ReportData) -> Section:
    """Errors that occur together, as a list and as a figure."""
    counts = error_counts(data.y_true, data.y_pred)
    num_right = int(counts[-1, -1])
    missed, wrong = data.y_true & ~data.y_pred, data.y_pred & ~data.y_true
    summary = (
        f"{count_of(num_right, 'image')} of {len(data.ids):,} have every class right. In all, {missed.sum():,} of "
        f"{data.y_true.sum():,} classes were missed, and {wrong.sum():,} of {data.y_pred.sum():,} predictions were wrong."
    )
    parts = [paragraphs(summary), _list(data)]
    if num_right < len(data.ids):
        plot = figure(_matrix(counts, data.class_names), "Missed classes against wrongly predicted ones")
        parts.append(wide(plot))
    return Section(
        "Missed classes, and what is predicted instead",
        Markup("").join(parts),
        f"The list has pairs of errors that occur on the same image at least {MIN_RATIO:g} times as often as by chance, and in "
        f"at least {MIN_GROUPS} groups of related images. The figure has all errors. Rows: the classes that the model missed. "
        "Columns: the classes that it wrongly predicted on the same image.",
        "confusions",
    )


def _list(data: ReportData) -> Markup:
    if not data.confusions:
        return paragraphs("No two classes are clearly confused.")
    names = data.class_names
    rows = [
        [names[one.missed], names[one.answered], one.num_images, *figures(f"{one.by_chance:.1f}")]
        for one in data.confusions[:_MAX_LISTED]
    ]
    return wide(table(["Missed", "predicted instead", "images", "by chance"], rows))


def _matrix(counts: np.ndarray, names: list[str]) -> Figure:
    """The classes with the most errors, and in grey the errors that have no partner."""
    pairs = counts[:-1, :-1]
    rows, columns = _most(counts[:-1].sum(axis=1)), _most(counts[:, :-1].sum(axis=0))
    shown = counts[np.ix_([*rows, -1], [*columns, -1])]
    coloured = np.ma.masked_equal(shown, 0)
    coloured[-1, :], coloured[:, -1] = np.ma.masked, np.ma.masked
    plot = make_figure(3.4 + 0.27 * len(columns), 2.6 + 0.25 * len(rows))
    axes = plot.subplots()
    most = max(1, int(pairs.max(initial=0)))
    axes.pcolormesh(coloured, cmap="Oranges", edgecolors="#e5eaf0", linewidth=0.5, vmin=0, vmax=most)
    for row, column in zip(*np.nonzero(shown), strict=True):
        is_single = row == len(rows) or column == len(columns)
        if row == len(rows) and column == len(columns):
            continue
        colour = "#64748b" if is_single else "white" if shown[row, column] > 0.6 * most else "#1b2733"
        axes.text(column + 0.5, row + 0.5, shown[row, column], ha="center", va="center", fontsize=7, color=colour)
    titles = [[shorten(names[k], MAX_NAME) for k in chosen] for chosen in (rows, columns)]
    axes.set_yticks(np.arange(len(rows) + 1) + 0.5, [*titles[0], "nothing missed"], fontsize=8)
    axes.set_xticks(np.arange(len(columns) + 1) + 0.5, [*titles[1], "nothing wrong"], fontsize=8, rotation=60, ha="right")
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.set(xlabel="wrongly predicted on the same image", ylabel="missed")
    axes.spines[:].set_visible(False)
    return plot


def _most(totals: np.ndarray) -> list[int]:
    """The classes with the largest totals above 0, in the order of their indices."""
    largest = np.argsort(-totals, kind="stable")[:_MAX_SHOWN]
    return sorted(int(k) for k in largest if totals[k])
