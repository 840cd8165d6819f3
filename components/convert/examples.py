"""Makes one set of examples from one version of a source: the shards, the transform graph, and what was left out."""

import csv
import gzip
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.convert import report
from components.convert.beam_job import ConvertedSample, plan_shards, run_job
from components.convert.request import DATA_REPORT, QUARANTINE, SAMPLES, TRANSFORM_GRAPH, Request, check_bad_share
from components.convert.runner import runner_options
from components.convert.split import SPLITS, split_fractions, split_samples
from components.convert.transform import ImageMoments, write_transform_graph
from components.shared.index import Sample, read_index
from components.shared.labels import FILTERS, format_target
from components.shared.manifest import Examples, RawImages

_log = logging.getLogger(__name__)


def convert_images(
    raw: RawImages, data_root: str, request: Request, max_bad_fraction: float, beam_runner: str, beam_options: str
) -> Examples:
    """Converts a version of a source.

    Raises:
        ValueError: If more samples are bad than `max_bad_fraction` allows, or too few are left to split.
    """
    content = request.fingerprint(raw)
    uri = request.uri(raw, data_root)
    samples = read_index(raw.index_uri)
    good = [sample for sample in samples if not sample.reason]
    check_bad_share([sample.reason for sample in samples if sample.reason], len(samples), max_bad_fraction)
    sides = split_samples(
        {sample.sample_id: sample.labels for sample in good},
        request.split,
        split_fractions(request.validation_fraction, request.test_fraction),
        request.seed,
    )
    tasks = plan_shards(good, sides, request.filters, request.image_size_px, raw.images_uri, uri, request.seed)
    parts = run_job(tasks, runner_options(beam_runner, beam_options, len(good)))
    converted = sorted((sample for part in parts for sample in part.samples), key=lambda sample: sample.sample_id)
    quarantine = _quarantine(samples, converted)
    check_bad_share(list(quarantine.values()), len(samples), max_bad_fraction)
    for side in sorted(set(sides.values())):
        if not sum(part.shard.num_records for part in parts if part.split == side):
            raise ValueError(f"Not one sample of the {side} split could be used: give more samples, or another seed")
    manifest = Examples(
        fingerprint=content,
        inputs={"raw_images": raw.fingerprint},
        parameters=vars(request),
        source=raw.source,
        licence=raw.licence,
        image_size_px=request.image_size_px,
        channels=list(request.filters),
        class_names=raw.class_names,
        shards={split: [part.shard for part in parts if part.split == split] for split in SPLITS},
        num_quarantined=len(quarantine),
        uri=uri,
    )
    with tempfile.TemporaryDirectory() as temp_dir:
        folder = Path(temp_dir)
        write_transform_graph(_training_moments(converted), len(raw.class_names), folder / TRANSFORM_GRAPH)
        (folder / SAMPLES).write_bytes(_samples_csv(converted))
        (folder / QUARANTINE).write_bytes(_csv(["id", "reason"], sorted(quarantine.items())))
        (folder / DATA_REPORT).write_text(report.data_report(manifest, converted, quarantine), encoding="utf-8")
        return manifest.publish(uri, folder)


def _quarantine(samples: Sequence[Sample], converted: Sequence[ConvertedSample]) -> dict[str, str]:
    listed = {sample.sample_id: sample.reason for sample in samples if sample.reason}
    return listed | {sample.sample_id: sample.reason for sample in converted if sample.reason}


def _training_moments(converted: Sequence[ConvertedSample]) -> list[ImageMoments]:
    training = [sample for sample in converted if sample.split == "train" and not sample.reason]
    return [ImageMoments(sample.mean, sample.mean_square, sample.labels) for sample in training]


def _samples_csv(converted: Sequence[ConvertedSample]) -> bytes:
    rows = [
        [sample.sample_id, sample.split, sample.shard, format_target(sample.labels), *sample.mean, *sample.mean_square]
        for sample in converted
        if not sample.reason
    ]
    num_channels = max((len(sample.mean) for sample in converted), default=0)
    moments = [f"{moment}_{name}" for moment in ("mean", "mean_square") for name in FILTERS[:num_channels]]
    return gzip.compress(_csv(["id", "split", "shard", "labels", *moments], rows), mtime=0)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
