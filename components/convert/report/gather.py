"""Gathers the content of the data report from the converted samples, and from the files of the few that it shows."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from components import storage
from components.artifacts.index import Sample, read_each_once, size_bytes
from components.artifacts.manifest import Examples
from components.convert.report.data import ReportData, ReportSample
from components.convert.report.thumbnails import plan_thumbnails, thumbnail
from components.convert.shards.tasks import ConvertedSample
from components.convert.split.assignment import SPLITS, split_fractions, split_samples
from components.convert.split.near_duplicates import Link, group_samples, torn_groups
from components.images.decode import Reading
from components.images.exposure import exposure_warnings
from components.storage.read_ahead import read_ahead, start_readers


def gather_report_data(
    examples: Examples,
    converted: Sequence[ConvertedSample],
    quarantine: Mapping[str, str],
    index: Sequence[Sample],
    links: Collection[Link],
    images_uri: str,
    reading: Reading,
) -> ReportData:
    """Gathers the content of the data report.

    Args:
        examples: The manifest of what was converted.
        converted: The samples that have a record.
        quarantine: The reason of each sample that was left out.
        index: The rows of the source's index.
        links: Near-duplicates among the samples.
        images_uri: The folder of the images.
        reading: How files become 8-bit channels.
    """
    rows = {row.sample_id: row for row in index}
    groups = group_samples([sample.sample_id for sample in converted], links)
    samples = [
        ReportSample(s.sample_id, s.split, rows[s.sample_id].batch, s.labels, groups[s.sample_id], s.mean, s.mean_square)
        for s in converted
    ]
    histograms = {
        split: np.array(sum(sample.channel_histograms().astype(np.int64) for sample in converted if sample.split == split))
        for split in SPLITS
        if any(sample.split == split for sample in converted)
    }
    shown = plan_thumbnails(len(examples.class_names), samples, quarantine).sample_ids
    return ReportData(
        examples=examples,
        samples=samples,
        quarantine=quarantine,
        histograms=histograms,
        num_torn_groups=_num_torn_by_chance(samples, groups, examples.parameters),
        table_groups={s.sample_id: rows[s.sample_id].group for s in converted if rows[s.sample_id].group},
        exposure=exposure_warnings({s.sample_id: s.channel_histograms() for s in converted}, examples.channels),
        pixel_sizes_um={s.sample_id: s.pixel_size_um for s in converted if s.pixel_size_um},
        thumbnails=_draw(images_uri, [rows[sample_id] for sample_id in shown], examples.channels, reading),
    )


def _num_torn_by_chance(samples: Sequence[ReportSample], groups: Mapping[str, str], parameters: Mapping[str, Any]) -> int:
    fractions = split_fractions(parameters["validation_fraction"], parameters["test_fraction"])
    labels = {sample.sample_id: sample.labels for sample in samples}
    batches = {sample.sample_id: sample.batch for sample in samples}
    with contextlib.suppress(ValueError):  # with very few samples, a random split leaves a split empty
        return len(torn_groups(groups, split_samples(labels, "random", fractions, parameters["split_seed"], batches)))
    return 0


def _draw(images_uri: str, samples: Sequence[Sample], filters: Sequence[str], reading: Reading) -> dict[str, bytes]:
    """Pictures of samples by id, without samples that cannot be shown."""

    def read(sample: Sample) -> dict[str, bytes]:
        return read_each_once(sample.files, lambda file: storage.read_bytes(storage.join(images_uri, file.name)))

    def num_bytes(sample: Sample) -> int:
        return size_bytes(sample.files.values())

    with start_readers(images_uri) as readers:
        drawn = {
            sample.sample_id: thumbnail(files, reading=reading, filters=filters)
            for sample, files in read_ahead(readers, samples, read, num_bytes)
        }
    return {sample_id: picture for sample_id, picture in drawn.items() if picture}
