"""The calibration of the probabilities."""

import numpy as np
from matplotlib.figure import Figure

from components.evaluate.calibration import NUM_BINS, Reliability, reliability
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import BASELINE_COLOUR, MODEL_COLOUR
from components.reports.page import Section, wide
from components.reports.plots import bare, figure, label_plainly, make_figure


def calibration_section(data: ReportData) -> Section:
    """The reliability diagram."""
    found = reliability(data.y_true, data.y_score)
    return Section(
        "Calibration",
        wide(figure(_diagram(found), "Reliability diagram: share of positives by probability")),
        "Of the predictions with a probability of 30 %, three in ten should be right: then the dots lie on the line. Above it, "
        f"the network is underconfident, below it overconfident. The expected calibration error is {found.error:.3f}, over all "
        f"pairs of sample and class in {NUM_BINS} bins. It does not affect the verdict: decisions depend on fitted thresholds.",
    )


def _diagram(found: Reliability) -> Figure:
    filled = found.counts > 0
    plot = make_figure(10.5, 3.8)
    left, right = plot.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=BASELINE_COLOUR, linewidth=1, linestyle="--")
    sizes = 20 + 60 * np.sqrt(found.counts[filled] / found.counts.max())
    left.plot(found.mean_score[filled], found.positive_share[filled], color=MODEL_COLOUR, linewidth=1)
    left.scatter(found.mean_score[filled], found.positive_share[filled], s=sizes, color=MODEL_COLOUR)
    left.set(xlabel="predicted probability", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1))
    edges = np.linspace(0, 1, NUM_BINS + 1)
    right.stairs(found.counts, edges, fill=True, color=MODEL_COLOUR, alpha=0.75)
    right.set_yscale("log")
    label_plainly(right.yaxis)
    right.set(xlabel="predicted probability", ylabel="predictions (logarithmic)", xlim=(0, 1))
    for axes in (left, right):
        bare(axes)
    return plot
