"""What the data report is made from."""

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
        sample_id: The source's name of the sample.
        split: The side that it is on.
        batch: Which ingest added it: 0 for the first.
        labels: Class indices.
        group: Names its near-duplicate group: the same for all members, and for nobody else.
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
        histograms: For each split, how many pixels have which grey level: shape (channels, bins), the bins from 0 to 255.
        num_torn_groups: How many near-duplicate groups a random split would have had on more than one side.
        thumbnails: JPEG files of the samples that `plan_thumbnails` names, as far as they can be shown.
        table_groups: The group of each sample that the source's table puts into one.
        exposure: Images that look wrong.
        pixel_sizes_um: The width of a pixel in micrometres of each sample whose files say so.
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
        """The near-duplicate groups of two samples or more, the largest first."""
        return near_duplicate_groups(self.samples)

    def on_side(self, split: str) -> list[ReportSample]:
        """The samples on one side of the split."""
        return [sample for sample in self.samples if sample.split == split]


def near_duplicate_groups(samples: Sequence[ReportSample]) -> list[list[ReportSample]]:
    """Collects the groups of two samples or more: the largest first, each in the order of its ids."""
    members: dict[str, list[ReportSample]] = {}
    for sample in sorted(samples, key=lambda s: s.sample_id):
        members.setdefault(sample.group, []).append(sample)
    groups = [group for group in members.values() if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), group[0].sample_id))
