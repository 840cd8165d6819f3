"""Plots in pages: matplotlib figures that show the users' names literally."""

import io
import warnings

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from components.reports.page import image

# By default, `$` starts a formula: a class called `$\frac{a$` would be an error, and `$5 and $6` in italics.
matplotlib.rcParams["text.parse_math"] = False
# The browser renders the text, in the letters of every language. By default, ids inside an SVG are random.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "report"}

# The length to which `shorten` cuts names, so that there is room for the plot.
MAX_NAME = 40


def make_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure with a size in inches, whose parts do not overlap."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def label_plainly(axis: Axis) -> None:
    """Writes plain numbers on a logarithmic axis, several per decade. matplotlib would write powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def bare(axes: Axes) -> None:
    """Hides the upper and the right edge of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


def figure(plot: Figure, alt: str) -> Markup:
    """A figure as an image inside a page. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_SVG), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the font only measures the text
        plot.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return image(buffer.getvalue(), "svg+xml", alt)
