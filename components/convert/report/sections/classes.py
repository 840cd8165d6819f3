"""The number of images that show each class, in each split and in the published data."""

from collections import Counter
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS
from components.convert.report.data import ReportData
from components.convert.report.sections.look import SPLIT_COLOURS, share
from components.convert.split.assignment import SPLITS
from components.reports.page import Section, number_cells, table, wide
from components.reports.plots import MAX_NAME, bare, figure, label_plainly, make_figure
from components.runtime.wording import shorten

# The number of samples with 1 to 5 labels, as counted in the competition's train.csv (31072 samples).
_PUBLISHED_LABEL_COUNTS = {1: 15126, 2: 12485, 3: 3160, 4: 299, 5: 2}
_MARKERS = {"train": "o", "validation": "D", "test": "^"}


@dataclass(frozen=True)
class ClassCounts:
    """The number of images that show each class.

    Attributes:
        class_names: The names, in the order of the class indices.
        by_split: For each split that has samples, the number of its images that show each class.
        num_samples: For each of those splits, the number of its images.
    """

    class_names: list[str]
    by_split: dict[str, list[int]]
    num_samples: dict[str, int]

    @property
    def splits(self) -> list[str]:
        """The splits that have samples."""
        return list(self.num_samples)

    @property
    def totals(self) -> list[int]:
        """The number of images that show each class, in all splits together."""
        return [sum(column) for column in zip(*self.by_split.values(), strict=True)] or [0] * len(self.class_names)

    @property
    def are_published(self) -> bool:
        """Whether the classes are those of the competition, so that its counts can be shown for comparison."""
        return self.class_names == list(PUBLISHED_COUNTS)


def count_classes(data: ReportData) -> ClassCounts:
    """Counts the images of each class."""
    names = data.examples.class_names
    num_samples = {split: len(members) for split in SPLITS if (members := data.in_split(split))}
    by_split = {}
    for split in num_samples:
        counts = Counter(label for sample in data.in_split(split) for label in sample.labels)
        by_split[split] = [counts[label] for label in range(len(names))]
    return ClassCounts(names, by_split, num_samples)


def classes_section(counts: ClassCounts) -> Section:
    """The shares of the classes as a figure, and the counts as a table."""
    note = "The share of images that show each class. Many images show several, so the shares sum to more than 100 %."
    if counts.are_published:
        note += f" Published: the competition's {NUM_PUBLISHED_SAMPLES:,} training samples."
    plot = figure(_share_plot(counts), "Share of the images that show each class, for each split") if any(counts.totals) else ""
    return Section("Images per class", Markup("{}{}").format(plot, _count_table(counts)), note)


def _count_table(counts: ClassCounts) -> Markup:
    num_all = sum(counts.num_samples.values())
    header = ["Class", *counts.splits, "all", "share"]
    if counts.are_published:
        header += ["published", "published share"]
    rows: list[list[object]] = []
    for label, (name, total) in enumerate(zip(counts.class_names, counts.totals, strict=True)):
        row: list[object] = [
            name,
            *(counts.by_split[split][label] for split in counts.splits),
            total,
            *number_cells(share(total, num_all)),
        ]
        if counts.are_published:
            row += [PUBLISHED_COUNTS[name], *number_cells(share(PUBLISHED_COUNTS[name], NUM_PUBLISHED_SAMPLES))]
        rows.append(row)
    return wide(table(header, rows))


def _share_plot(counts: ClassCounts) -> Figure:
    order = sorted((total, label) for label, total in enumerate(counts.totals) if total)
    labels = [label for _, label in order]
    rows = range(len(labels))
    plot = make_figure(9.5, 1.1 + 0.27 * len(labels))
    axes = plot.subplots()
    if counts.are_published:
        published = [100 * PUBLISHED_COUNTS[counts.class_names[label]] / NUM_PUBLISHED_SAMPLES for label in labels]
        axes.scatter(published, rows, marker="|", s=130, linewidths=2, color="#94a3b8", label="published")
    for split in counts.splits:
        shares = [100 * counts.by_split[split][label] / counts.num_samples[split] for label in labels]
        shown = [row for row in rows if shares[row]]  # 0 is not on a logarithmic scale
        axes.scatter(
            [shares[row] for row in shown], shown, marker=_MARKERS[split], s=22, color=SPLIT_COLOURS[split], label=split
        )
    axes.set_yticks(rows, [f"{shorten(counts.class_names[label], MAX_NAME)} ({total:,})" for total, label in order])
    axes.set_ylim(-0.7, len(labels) - 0.3)
    axes.set_xscale("log")
    label_plainly(axes.xaxis)
    axes.xaxis.set_major_formatter("{x:g} %")
    axes.set_xlabel("share of images that show the class, on a logarithmic scale (in brackets: number of images)")
    axes.grid(axis="both", color="#e5eaf0", linewidth=0.7)
    axes.set_axisbelow(True)
    bare(axes)
    axes.legend(loc="lower right")
    return plot


def labels_section(data: ReportData, counts: ClassCounts) -> Section:
    """The number of classes that an image shows."""
    by_split = {split: Counter(len(sample.labels) for sample in data.in_split(split)) for split in counts.splits}
    numbers = sorted(set().union(*by_split.values()))
    header = ["Classes in one image", *counts.splits]
    if counts.are_published:
        header.append("published")
        numbers = sorted({*numbers, *_PUBLISHED_LABEL_COUNTS})
    rows: list[list[object]] = []
    for number in numbers:
        row: list[object] = [
            str(number),
            *number_cells(*(share(by_split[s][number], counts.num_samples[s]) for s in counts.splits)),
        ]
        if counts.are_published:
            row += number_cells(share(_PUBLISHED_LABEL_COUNTS.get(number, 0), NUM_PUBLISHED_SAMPLES))
        rows.append(row)
    return Section("Classes per image", table(header, rows), "The share of images that show one class, two, and so on.")
