"""Compares the newest batch with the earlier ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from scipy import stats  # type: ignore[import-untyped]

from components.convert.report.data import ReportData, ReportSample
from components.convert.report.sections.look import EARLIER_COLOUR, NEWEST_COLOUR, share
from components.reports.page import Section, number_cells, paragraphs, table, wide
from components.reports.plots import MAX_NAME, bare, figure, make_figure
from components.reports.stains import stain_title
from components.runtime.wording import count_of, shorten

# The probability of any false alarm, over all comparisons of a page together.
_SIGNIFICANCE = 0.01
_MAX_CLASSES = 12
_MAX_NAMED = 3
_MIN_BINS, _MAX_BINS = 10, 40


@dataclass(frozen=True)
class ClassChange:
    """A class in the newest batch and before: how many images show it, and the p-value of Fisher's exact test."""

    name: str
    num_earlier: int
    num_newest: int
    p_value: float


@dataclass(frozen=True)
class MomentChange:
    """A moment of the images in the newest batch and before.

    Attributes:
        filter_name: The filter.
        moment: `brightness`, the mean grey level of an image; or `contrast`, the standard deviation.
        earlier: One value per image.
        newest: One value per image.
        distance: The Kolmogorov-Smirnov distance: 0 for the same distribution, 1 for two that do not overlap.
        p_value: Of the two-sided Kolmogorov-Smirnov test.
    """

    filter_name: str
    moment: str
    earlier: np.ndarray
    newest: np.ndarray
    distance: float
    p_value: float


@dataclass(frozen=True)
class Drift:
    """How the newest batch differs from all earlier ones. One image of each near-duplicate group is counted.

    Attributes:
        batch: The number of the newest batch.
        num_earlier: The number of images of the earlier batches.
        num_newest: The number of images of the newest batch.
        classes: Every class, the least probable change first.
        moments: Every filter's brightness and contrast.
    """

    batch: int
    num_earlier: int
    num_newest: int
    classes: list[ClassChange]
    moments: list[MomentChange]

    def is_beyond_chance(self, change: ClassChange | MomentChange) -> bool:
        """Whether a change is significant, with Bonferroni's correction for many comparisons."""
        return change.p_value < _SIGNIFICANCE / (len(self.classes) + len(self.moments))

    def summary(self) -> str:
        """The comparison in one sentence."""
        classes = [change.name for change in self.classes if self.is_beyond_chance(change)]
        moments = [f"the {m.moment} of {m.filter_name}" for m in self.moments if self.is_beyond_chance(m)]
        newest = f"The newest batch ({count_of(self.num_newest, 'distinct image')})"
        if not classes and not moments:
            return f"{newest} does not differ significantly from the earlier ones."
        parts = [f"the share of {name}" for name in classes[:_MAX_NAMED]]
        if len(classes) > _MAX_NAMED:
            parts.append(f"the share of {count_of(len(classes) - _MAX_NAMED, 'further class', 'further classes')}")
        return f"{newest} differs from the earlier ones in {', '.join(parts + moments)}."


def measure_drift(data: ReportData) -> Drift | None:
    """Compares the newest batch with all earlier ones; None if there is only one batch."""
    batch = max((sample.batch for sample in data.samples), default=0)
    # Members of a group are nearly the same image: counted individually, they would make any change look significant.
    counted = {(s.group, s.batch == batch): s for s in sorted(data.samples, key=lambda s: s.sample_id, reverse=True)}
    newest = [sample for sample in counted.values() if sample.batch == batch]
    earlier = [sample for sample in counted.values() if sample.batch != batch]
    if not earlier:
        return None
    classes = [_compare_class(label, name, earlier, newest) for label, name in enumerate(data.examples.class_names)]
    moments = [
        _compare_moment(position, name, moment, earlier, newest)
        for position, name in enumerate(data.examples.channels)
        for moment in ("brightness", "contrast")
    ]
    return Drift(batch, len(earlier), len(newest), sorted(classes, key=lambda change: change.p_value), moments)


def _compare_class(label: int, name: str, earlier: Sequence[ReportSample], newest: Sequence[ReportSample]) -> ClassChange:
    num_earlier, num_newest = (sum(label in sample.labels for sample in side) for side in (earlier, newest))
    counts = [[num_earlier, len(earlier) - num_earlier], [num_newest, len(newest) - num_newest]]
    return ClassChange(name, num_earlier, num_newest, float(stats.fisher_exact(counts).pvalue))


def _compare_moment(
    channel: int, name: str, moment: str, earlier: Sequence[ReportSample], newest: Sequence[ReportSample]
) -> MomentChange:
    before, now = (_moments(samples, channel, moment) for samples in (earlier, newest))
    test = stats.ks_2samp(before, now, method="asymp")
    return MomentChange(name, moment, before, now, float(test.statistic), float(test.pvalue))


def _moments(samples: Sequence[ReportSample], channel: int, moment: str) -> np.ndarray:
    mean = np.array([sample.mean[channel] for sample in samples])
    if moment == "brightness":
        return mean
    mean_square = np.array([sample.mean_square[channel] for sample in samples])
    return np.sqrt(np.maximum(0.0, mean_square - mean**2))


def drift_section(data: ReportData, drift: Drift | None) -> Section:
    """The changes with the newest batch."""
    title = "The newest batch"
    if not drift:
        return Section(title, paragraphs("There is only one batch, so there is nothing to compare."))
    plot = figure(_brightness_plot(data, drift), "Brightness of the images of the newest batch and of the earlier ones")
    return Section(
        title,
        Markup("{}{}{}{}").format(paragraphs(drift.summary()), _class_table(drift), plot, _moment_table(drift)),
        f"Batch {drift.batch} compared with all earlier ones. Significant changes are marked (at the 1 % level for the whole "
        "page, by Fisher's exact test for classes and the Kolmogorov-Smirnov test for brightness and contrast). With many "
        "images, even small changes are significant: look at their size as well. One image per near-duplicate group counts.",
    )


def _mark(drift: Drift, change: ClassChange | MomentChange) -> Markup:
    return Markup('<span class="no">changed</span>') if drift.is_beyond_chance(change) else Markup("")


def _class_table(drift: Drift) -> Markup:
    rows = []
    for change in drift.classes[:_MAX_CLASSES]:
        points = 100 * (change.num_newest / drift.num_newest - change.num_earlier / drift.num_earlier)
        shares = [share(change.num_earlier, drift.num_earlier), share(change.num_newest, drift.num_newest)]
        rows.append([change.name, *number_cells(*shares, f"{points:+.2f} points"), _mark(drift, change)])
    return wide(table(["Class (the most significant changes first)", "earlier", "newest", "change", ""], rows))


def _moment_table(drift: Drift) -> Markup:
    rows = [
        [
            f"{m.moment} of {m.filter_name}",
            *number_cells(*(f"{np.median(v):.1f}" for v in (m.earlier, m.newest))),
            m.distance,
            _mark(drift, m),
        ]
        for m in drift.moments
    ]
    header = ["Per image, in grey levels", "earlier median", "newest median", "distance (0: the same, 1: disjoint)", ""]
    return wide(table(header, rows))


def _brightness_plot(data: ReportData, drift: Drift) -> Figure:
    plot = make_figure(10.5, 2.6)
    panels = plot.subplots(1, len(data.examples.channels), squeeze=False)[0]
    num_bins = min(_MAX_BINS, max(_MIN_BINS, math.isqrt(drift.num_newest)))
    for axes, change in zip(panels, (m for m in drift.moments if m.moment == "brightness"), strict=True):
        edges = np.linspace(0, max(1.0, change.earlier.max(), change.newest.max()), num_bins + 1)
        for values, colour, label, fill in (
            (change.earlier, EARLIER_COLOUR, "earlier", True),
            (change.newest, NEWEST_COLOUR, "newest", False),
        ):
            percent = 100 * np.histogram(values, edges)[0] / len(values)
            axes.stairs(percent, edges, color=colour, label=label, fill=fill, linewidth=1.4, alpha=0.6 if fill else 1)
        axes.set_title(shorten(stain_title(change.filter_name), MAX_NAME), fontsize=10)
        axes.set_xlabel("mean grey level of an image")
        bare(axes)
    panels[0].set_ylabel("% of images")
    panels[-1].legend(fontsize=8)
    return plot
