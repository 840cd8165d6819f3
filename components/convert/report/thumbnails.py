"""Thumbnails for the data report: chooses samples, and draws them."""

import contextlib
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from components.artifacts.index import kind_of
from components.artifacts.labels import FILTERS
from components.convert.report.data import ReportSample, near_duplicate_groups
from components.images.decode import DEFAULT_READING, Reading, decode_plane
from components.images.image import BadImageError, Image
from components.images.reader import read_image
from components.reports.pictures import encode_jpeg
from components.reports.scale_bar import with_scale_bar
from components.reports.stains import composite, stain_colours

# Shown at 150 px, sharp with up to 1.6 device pixels per pixel; about 20 KB each.
THUMBNAIL_PX = 240

_MAX_PER_CLASS = 3
_MAX_CLASS_TILES = 96
_MAX_GROUPS = 6
_MAX_PER_GROUP = 3
_MAX_QUARANTINED = 18
# So that a page of 132 thumbnails stays below 10 MB.
_MAX_BYTES = 45_000
# Of a file that cannot be used: a fourth channel would be alpha.
_MAX_CHANNELS = 3


@dataclass(frozen=True)
class ThumbnailPlan:
    """Which samples the data report shows.

    Attributes:
        by_class: Samples of each class index. Rare classes come first.
        groups: Members of the largest near-duplicate groups.
        quarantined: Samples that were left out.
    """

    by_class: dict[int, tuple[str, ...]]
    groups: tuple[tuple[str, ...], ...]
    quarantined: tuple[str, ...]

    @property
    def sample_ids(self) -> list[str]:
        """Each sample once."""
        shown = [*self.by_class.values(), *self.groups, self.quarantined]
        return list(dict.fromkeys(sample_id for ids in shown for sample_id in ids))


def plan_thumbnails(num_classes: int, samples: Sequence[ReportSample], quarantine: Mapping[str, str]) -> ThumbnailPlan:
    """Chooses the samples to show: always the same for the same samples, and none from the test split.

    A class is shown by images with few other labels, from train if possible, and without near-duplicates. Rare classes choose
    first.

    Args:
        num_classes: The number of classes.
        samples: Every sample that has a record.
        quarantine: The reason of each sample that was left out.
    """
    seen = [sample for sample in samples if sample.split != "test"]
    groups = [group[:_MAX_PER_GROUP] for group in near_duplicate_groups(seen)[:_MAX_GROUPS]]
    return ThumbnailPlan(
        by_class=_choose_by_class(num_classes, seen),
        groups=tuple(tuple(sample.sample_id for sample in group) for group in groups),
        quarantined=_choose_quarantined(quarantine),
    )


def _choose_by_class(num_classes: int, samples: Sequence[ReportSample]) -> dict[int, tuple[str, ...]]:
    order = {sample.sample_id: hashlib.sha256(sample.sample_id.encode()).digest() for sample in samples}
    members: dict[int, list[ReportSample]] = {label: [] for label in range(num_classes)}
    for sample in sorted(samples, key=lambda s: (s.split != "train", len(s.labels), order[s.sample_id])):
        for label in sample.labels:
            members[label].append(sample)
    per_class = max(1, min(_MAX_PER_CLASS, _MAX_CLASS_TILES // num_classes))
    rarest = sorted(members, key=lambda label: (len(members[label]), label))[:_MAX_CLASS_TILES]
    shown_groups: set[str] = set()
    chosen = {}
    for label in rarest:
        fresh = [sample for sample in members[label] if sample.group not in shown_groups] or members[label]
        by_group: dict[str, ReportSample] = {}
        for sample in fresh:
            by_group.setdefault(sample.group, sample)
            if len(by_group) == per_class:
                break
        shown_groups.update(by_group)
        chosen[label] = tuple(sample.sample_id for sample in by_group.values())
    return chosen


def _choose_quarantined(quarantine: Mapping[str, str]) -> tuple[str, ...]:
    """One sample for each reason, the most common reason first; then a second for each, and so on."""
    kinds = {sample_id: kind_of(reason) for sample_id, reason in sorted(quarantine.items())}
    counts = Counter(kinds.values())
    rank: Counter[str] = Counter()
    places = {}
    for sample_id, reason in kinds.items():
        places[sample_id] = (rank[reason], -counts[reason], reason)
        rank[reason] += 1
    return tuple(sorted(places, key=places.__getitem__)[:_MAX_QUARANTINED])


def thumbnail(
    files: Mapping[str, bytes],
    side_px: int = THUMBNAIL_PX,
    reading: Reading = DEFAULT_READING,
    filters: Sequence[str] = FILTERS[:3],
) -> bytes | None:
    """Draws a sample with each stain in its colour, and with a scale bar if its files give the size of a pixel.

    A filter that is missing or cannot be decoded stays black, so that bad samples can be shown too.

    Args:
        files: The image file of each filter.
        side_px: The side of the picture. Images that are not square are distorted.
        reading: How files become 8-bit channels.
        filters: The filters to show.

    Returns:
        A JPEG file of at most 45 KB at the usual side, or None if no filter can be decoded.
    """
    channels = [_decode_leniently(files.get(name, b""), name, reading) for name in filters]
    if not any(channels):
        return None
    black = np.zeros((side_px, side_px), np.uint8)
    size = (side_px, side_px)
    shrunk = [cv2.resize(c[0], size, interpolation=cv2.INTER_AREA) if c else black for c in channels]
    width_um = next((width_um for _, width_um in filter(None, channels) if width_um), None)
    return encode_jpeg(with_scale_bar(composite(np.dstack(shrunk), stain_colours(filters)), width_um), _MAX_BYTES)


def _decode_leniently(data: bytes, name: str, reading: Reading) -> tuple[np.ndarray, float | None] | None:
    """Decodes one filter, and finds the width that it shows in micrometres; None if it is not an image."""
    try:
        image = read_image(data)
        plane = _lenient_plane(image, name, reading)
    except BadImageError:
        return None
    return plane, image.pixel_size_um * image.reduction * plane.shape[1] if image.pixel_size_um else None


def _lenient_plane(image: Image, name: str, reading: Reading) -> np.ndarray:
    """A filter as convert decodes it, or else the brightest channel, scaled by its maximum."""
    with contextlib.suppress(BadImageError):
        return decode_plane(image, name, reading)
    planes = [image.plane(channel, image.num_planes // 2) for channel in range(len(image.channel_names[:_MAX_CHANNELS]))]
    brightest = functools.reduce(np.maximum, planes)
    if brightest.dtype == np.uint8:
        return brightest
    levels = np.nan_to_num(brightest.astype(np.float64)).clip(0)
    return np.asarray(levels * (255 / max(levels.max(), 1e-9))).astype(np.uint8)
