"""How the evaluation report shows numbers, outcomes and curves: the same way in every section."""

from markupsafe import Markup
from matplotlib.axes import Axes

MODEL_COLOUR, BASELINE_COLOUR, CLASS_COLOUR, CHAMPION_COLOUR = "#0f766e", "#b91c1c", "#94a3b8", "#c2660c"


def numbers(*values: str | float | None) -> list[Markup]:
    """Cells of a table that end where its numbers end: floats with 3 decimals, `-` where there is no value."""
    texts = [value if isinstance(value, str) else decimal(value) for value in values]
    return [
        Markup('<div style="text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap">{}</div>').format(text)
        for text in texts
    ]


def decimal(value: float | None) -> str:
    """A float with 3 decimals, or `-`."""
    return "-" if value is None else f"{value:.3f}"


def span(low: float | None, high: float | None) -> str:
    """An interval: `0.120 to 0.250`, or `-`."""
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def outcome(words: str) -> Markup:
    """A rule's outcome: green, red, grey for a rule that is not asked, or plain."""
    kind = {"yes": "yes", "no": "no", "not asked": "faint"}.get(words, "")
    return Markup('<span class="{}" style="white-space:nowrap;font-weight:600">{}</span>').format(kind, words)


def paragraphs(*sentences: str) -> Markup:
    """Plain text, a paragraph each."""
    return Markup("").join(Markup("<p>{}</p>").format(sentence) for sentence in sentences)


def wide(content: Markup) -> Markup:
    """A table that may be scrolled sideways where the window is narrow."""
    return Markup('<div style="overflow-x:auto">{}</div>').format(content)


def bare(axes: Axes) -> None:
    """Leaves a plot only the axes that carry numbers."""
    axes.spines[["top", "right"]].set_visible(False)
