"""Plots in pages: matplotlib figures that say what users call things, letter by letter."""

import io
import warnings

import matplotlib
from markupsafe import Markup
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from components.reports.page import image

# By default, `$` begins mathematics: a class called `$\frac{a$` would end in an error, and `$5 and $6` in italics.
matplotlib.rcParams["text.parse_math"] = False
# The browser draws the text, so that it is in letters of every language. By default, ids inside an SVG are random.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "report"}

# What `shorten` leaves of a name, so that there is room for the plot.
MAX_NAME = 40


def make_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of a size in inches, whose parts do not overlap."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def label_plainly(axis: Axis) -> None:
    """Writes plain numbers on a logarithmic axis, some in each power of ten: matplotlib would write mathematics."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def figure(plot: Figure, alt: str) -> Markup:
    """A figure as an image inside a page. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_SVG), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # which only measures the text
        plot.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return image(buffer.getvalue(), "svg+xml", alt)
