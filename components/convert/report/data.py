"""The content of the data report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from components.artifacts.manifest import Examples
from components.images.exposure import ExposureWarning


@dataclass(frozen=True)
class ReportSample:
    """A converted sample.

    Attributes:
        sample_id: The id of the sample in the source.
        split: Its split.
        batch: The ingest that added it: 0 for the first.
        labels: Class indices.
        group: The name of its near-duplicate group.
        mean: The mean of each channel, in grey levels.
        mean_square: The mean of the squares of each channel.
    """

    sample_id: str
    split: str
    batch: int
    labels: tuple[int, ...]
    group: str
    mean: tuple[float, ...]
    mean_square: tuple[float, ...]


@dataclass(frozen=True)
class ReportData:
    """All that the data report shows.

    Attributes:
        examples: The manifest of what was converted.
        samples: Every sample that has a record.
        quarantine: The reason of each sample that was left out.
        histograms: For each split, the number of pixels by grey level: shape (channels, bins), with bins from 0 to 255.
        num_torn_groups: The number of near-duplicate groups that a random split would have divided.
        thumbnails: JPEG files of those samples of `plan_thumbnails` that can be shown.
        table_groups: The group of each sample that is in a group of the source's table.
        exposure: Images that look wrong.
        pixel_sizes_um: The width of a pixel in micrometres, for each sample whose files give it.
    """

    examples: Examples
    samples: Sequence[ReportSample]
    quarantine: Mapping[str, str]
    histograms: Mapping[str, np.ndarray]
    num_torn_groups: int
    thumbnails: Mapping[str, bytes]
    table_groups: Mapping[str, str] = field(default_factory=dict)
    exposure: Sequence[ExposureWarning] = ()
    pixel_sizes_um: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def groups(self) -> list[list[ReportSample]]:
        """The near-duplicate groups of at least two samples, the largest first."""
        return near_duplicate_groups(self.samples)

    def in_split(self, split: str) -> list[ReportSample]:
        """The samples of a split."""
        return [sample for sample in self.samples if sample.split == split]


def near_duplicate_groups(samples: Sequence[ReportSample]) -> list[list[ReportSample]]:
    """The groups of at least two samples: the largest first, each sorted by id."""
    members: dict[str, list[ReportSample]] = {}
    for sample in sorted(samples, key=lambda s: s.sample_id):
        members.setdefault(sample.group, []).append(sample)
    groups = [group for group in members.values() if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), group[0].sample_id))
