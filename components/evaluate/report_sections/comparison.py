"""The comparison of champion and challenger."""

from markupsafe import Markup
from matplotlib.figure import Figure

from components.evaluate.comparison import Comparison
from components.evaluate.f1_intervals import MIN_CLASS_GROUPS
from components.evaluate.metrics import TITLES
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import CHAMPION_COLOUR, MODEL_COLOUR, figures, span
from components.reports.page import Section, paragraphs, table, wide
from components.reports.plots import MAX_NAME, bare, figure, make_figure
from components.runtime.wording import count_of, shorten

_TITLE = "Champion against challenger"


def champion_section(data: ReportData) -> Section:
    """Both models on the same samples, over all classes and for each class."""
    found = data.comparison
    if not found:
        served = data.evaluation.champion_version
        words = f"Version {served} is the champion." if served else "There is no champion yet: only the baselines count."
        return Section(_TITLE, paragraphs(words))
    if found.obstacle:
        words = f"{found.rival.capitalize()} cannot be evaluated on these samples: {found.obstacle}."
        return Section(_TITLE, paragraphs(words))
    if not (found.champion and found.challenger):
        return Section(_TITLE, paragraphs(f"There is no sample of the split that neither has seen. {_samples(found)}"))
    rows = [
        [title, *figures(found.champion.get(name), found.challenger.get(name), _difference(found, name))]
        for name, title in TITLES.items()
        if name in found.challenger
    ]
    gain = f"Macro F1 over common classes, challenger minus champion: {span(found.gain)} (95 % interval)." if found.gain else ""
    shown = [change for change in found.classes if change.support]
    return Section(
        _TITLE,
        Markup("{}{}{}{}").format(
            wide(table(["Metric", f"champion (version {found.version})", "challenger", "difference"], rows)),
            paragraphs(f"{_samples(found)} {gain}"),
            wide(figure(_bands(found), "Change of F1 of each class with its noise band")) if shown else "",
            wide(_class_table(found)),
        ),
        "Both on the same samples, each with its own thresholds. The champion was selected for its score on this test split, "
        "so that score is optimistic (docs/evaluation.md says by how much), and a challenger has to beat it.",
    )


def _difference(found: Comparison, name: str) -> str:
    champion, challenger = found.champion or {}, found.challenger or {}
    return f"{challenger[name] - champion[name]:+.3f}" if name in champion else "-"


def _samples(found: Comparison) -> str:
    words = f"{count_of(found.num_samples, 'sample')} in {count_of(found.num_groups, 'group')}."
    if found.num_seen:
        words += (
            f" Left out: {count_of(found.num_seen, 'sample')} of this split that one of them was trained on, and "
            f"{found.num_related:,} in a group with one of these."
        )
    return words


def _bands(found: Comparison) -> Figure:
    shown = sorted((c for c in found.classes if c.support), key=lambda c: (c.support, c.name))
    plot = make_figure(9.5, 1 + 0.27 * len(shown))
    axes = plot.subplots()
    for row, change in enumerate(shown):
        colour = MODEL_COLOUR if change.change >= 0 else CHAMPION_COLOUR
        axes.plot(change.change, row, "o", color=colour, markersize=5)
        if change.band:
            axes.hlines(row, change.band.low, change.band.high, color=colour, linewidth=1.5)
    axes.axvline(0, color="#1b2733", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{shorten(c.name, MAX_NAME)} ({c.support})" for c in shown])
    axes.set_xlim(-1, 1)
    axes.set_xlabel("F1, challenger minus champion (line: noise band; none for classes in too few groups)")
    bare(axes)
    return plot


def _class_table(found: Comparison) -> Markup:
    rows = [
        [c.name, c.support, *figures(c.champion_f1, c.challenger_f1, f"{c.change:+.3f}", span(c.band))]
        for c in found.classes
        if c.support
    ]
    band = f"noise band (with at least {MIN_CLASS_GROUPS} groups)"
    return table(["Class", "support", "F1, champion", "F1, challenger", "change", band], rows)
