"""The brightness of the images, filter by filter."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from components.convert.report.data import ReportData, ReportSample
from components.convert.report.sections.look import SPLIT_COLOURS
from components.convert.split.assignment import SPLITS
from components.images.intensity import NUM_LEVELS
from components.reports.page import Section, bullets, number_cells, table, wide
from components.reports.plots import MAX_NAME, bare, figure, label_plainly, make_figure
from components.reports.stains import stain_title
from components.runtime.wording import count_of, shorten


def intensities_section(data: ReportData) -> Section:
    """The distribution of grey levels of each filter and split."""
    shown = [split for split in SPLITS if split in data.histograms and data.histograms[split].any()]
    content = Markup("<p>There are no images.</p>")
    if shown:
        plot = figure(_histograms(data, shown), "Distribution of grey levels of each filter, for each split")
        warnings = bullets(*map(str, data.exposure)) if data.exposure else ""
        content = Markup("{}{}{}").format(warnings, plot, _table(data, shown))
    return Section(
        "Brightness",
        content,
        "Each filter's pixels by grey level, from 0 (black) to 255. The curves of the splits should coincide. "
        "Mean and standard deviation are those of all pixels.",
    )


def _histograms(data: ReportData, splits: Sequence[str]) -> Figure:
    channels = data.examples.channels
    levels = _levels_per_bin(data.histograms[splits[0]])
    plot = make_figure(10.5, 2.9)
    panels = plot.subplots(1, len(channels), sharey=True, squeeze=False)[0]
    for position, (axes, name) in enumerate(zip(panels, channels, strict=True)):
        for split in splits:
            counts = data.histograms[split][position]
            edges = np.linspace(0, NUM_LEVELS, len(counts) + 1)
            axes.stairs(
                100 * counts / counts.sum(), edges, color=SPLIT_COLOURS[split], label=split, baseline=None, linewidth=1.2
            )
        axes.set_title(shorten(stain_title(name), MAX_NAME), fontsize=10)
        axes.set_yscale("log")
        label_plainly(axes.yaxis)
        axes.set_xlim(0, NUM_LEVELS)
        axes.set_xticks([0, 64, 128, 192, 255])
        axes.set_xlabel("grey level")
        bare(axes)
    panels[0].set_ylabel(f"% of pixels, per {count_of(levels, 'grey level')}")
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[-1].legend(fontsize=8)
    return plot


def _table(data: ReportData, splits: Sequence[str]) -> Markup:
    levels = _levels_per_bin(data.histograms[splits[0]])
    rows: list[list[object]] = []
    for position, name in enumerate(data.examples.channels):
        for split in splits:
            histogram = data.histograms[split][position]
            mean, std = _mean_and_std(data.in_split(split), position)
            ends = [f"{100 * histogram[end] / histogram.sum():.2f} %" for end in (0, -1)]
            rows.append([stain_title(name), split, *number_cells(f"{mean:.1f}", f"{std:.1f}", *ends)])
    dark, bright = f"darkest (up to {levels - 1})", f"brightest (from {NUM_LEVELS - levels})"
    return wide(table(["Filter", "split", "mean", "standard deviation", dark, bright], rows))


def _levels_per_bin(histograms: np.ndarray) -> int:
    return NUM_LEVELS // histograms.shape[1]


def _mean_and_std(samples: Sequence[ReportSample], channel: int) -> tuple[float, float]:
    """Over all pixels: all images have the same size, so the mean of the images' moments is that of the pixels."""
    mean = float(np.mean([sample.mean[channel] for sample in samples]))
    mean_square = float(np.mean([sample.mean_square[channel] for sample in samples]))
    return mean, max(0.0, mean_square - mean**2) ** 0.5
