"""How all sections of the evaluation report show figures, outcomes and curves."""

from collections.abc import Mapping

from markupsafe import Markup

from components.evaluate.f1_intervals import Interval
from components.reports.page import number_cells

MODEL_COLOUR, BASELINE_COLOUR, CLASS_COLOUR, CHAMPION_COLOUR = "#0f766e", "#b91c1c", "#94a3b8", "#c2660c"


def figures(*values: str | float | None) -> list[Markup]:
    """Right-aligned cells of a table: floats with 3 decimals, `-` for a missing value."""
    return number_cells(*(value if isinstance(value, str) else decimal(value) for value in values))


def decimal(value: float | None) -> str:
    """A float with 3 decimals, or `-`."""
    return "-" if value is None else f"{value:.3f}"


def span(interval: Interval | None) -> str:
    """An interval: `0.120 to 0.250`, or `-`."""
    return f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-"


def metric_interval(metrics: Mapping[str, float], name: str) -> Interval | None:
    """The interval of a metric over all classes, if it has one."""
    return Interval(metrics[f"{name}_low"], metrics[f"{name}_high"]) if f"{name}_low" in metrics else None


def meter(value: float, interval: Interval | None, baseline: float) -> Markup:
    """A bar from 0 to 1 with its interval as a line, and its baseline as a red tick."""
    line = Markup('<path class="span" d="M{:.1f} 8H{:.1f}"/>').format(*(100 * end for end in interval)) if interval else ""
    return Markup(
        '<svg class="meter" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="scale" width="100" height="16"/><rect class="value" y="3" width="{:.1f}" height="10"/>{}'
        '<path class="baseline" d="M{:.1f} 1V15" vector-effect="non-scaling-stroke"/></svg>'
    ).format(100 * value, line, 100 * baseline)


def outcome(words: str) -> Markup:
    """A rule's outcome: green, red, grey for a rule that is switched off, or plain."""
    kind = {"yes": "yes", "no": "no", "switched off": "faint"}.get(words, "")
    return Markup('<span class="{}">{}</span>').format(kind, words)
