"""Makes a set of examples from a version of a source: the shards, the transform graph, and the quarantine."""

import csv
import gzip
import io
import logging
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from components.artifacts.index import COLUMN, Sample, column_names, read_index
from components.artifacts.labels import format_target
from components.artifacts.manifest import SAMPLES, Examples, RawImages
from components.artifacts.parameters import AUTO_RANGE
from components.convert.conversion import Conversion, measure_samples, split_unsplit, write_splits, write_unsplit
from components.convert.report.gather import gather_report_data
from components.convert.report.page import data_report
from components.convert.settings import (
    DATA_REPORT,
    QUARANTINE,
    TRANSFORM_GRAPH,
    UNSPLIT,
    ConvertSettings,
    check_bad_share,
    commonest_reasons,
)
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import MEASURED, ConvertedSample, ShardTask, plan_shards
from components.convert.split.assignment import split_fractions, split_samples
from components.convert.split.near_duplicates import Link, group_samples, link_groups, link_near_duplicates
from components.images.auto_range import common_range
from components.images.decode import Reading
from components.runtime.scratch import scratch_folder

_log = logging.getLogger(__name__)


def convert_images(
    raw: RawImages, data_root: str, settings: ConvertSettings, max_bad_fraction: float, beam_runner: str, beam_options: str
) -> Examples:
    """Converts a version of a source.

    Raises:
        ValueError: If Beam does not know the runner or an option, its workers cannot reach the data, more samples are bad than
            `max_bad_fraction` allows, too few are left to split, or a random split is requested for samples in groups.
    """
    engine = Engine.named(beam_runner, beam_options)
    engine.check_data_root(data_root)
    uri = settings.uri(raw, data_root)
    index = [sample for sample in read_index(raw.index_uri) if sample.is_usable or sample.reason]
    quarantine = Quarantine(len(index), max_bad_fraction)
    quarantine.add(index)
    reading = Reading(tuple(raw.channels.items()), settings.intensity_range, settings.projection, settings.filters)
    conversion, near_duplicates, of_groups, reading = _convert(
        index, raw.images_uri, uri, settings, reading, quarantine, engine
    )
    good = sorted((sample for sample in conversion.samples if not sample.reason), key=lambda sample: sample.sample_id)
    sizes_um = [sample.pixel_size_um for sample in good if sample.pixel_size_um]
    manifest = Examples(
        fingerprint=settings.fingerprint(raw),
        inputs={"raw_images": raw.fingerprint},
        parameters=vars(settings),
        source=raw.source,
        licence=raw.licence,
        image_size_px=settings.image_size_px,
        channels=list(settings.filters),
        intensity_range=reading.intensity_range,
        projection=settings.projection,
        pixel_size_um=statistics.median_low(sizes_um) if sizes_um else None,
        class_names=raw.class_names,
        shards=conversion.shards,
        num_quarantined=len(quarantine.reasons),
        uri=uri,
    )
    # Imported after the job, because TensorFlow takes much memory that the processes of the job need.
    from components.convert.transform import ImageMoments, write_transform_graph  # noqa: PLC0415

    training = [ImageMoments(s.mean, s.mean_square, s.labels) for s in good if s.split == "train"]
    page = gather_report_data(manifest, good, quarantine.reasons, index, near_duplicates, raw.images_uri, reading)
    for warning in page.exposure:
        _log.warning("%s", warning)
    with scratch_folder() as folder:
        write_transform_graph(training, len(raw.class_names), folder / TRANSFORM_GRAPH)
        (folder / SAMPLES).write_bytes(_samples_csv(good, settings.filters, near_duplicates + of_groups, index))
        (folder / QUARANTINE).write_bytes(_csv(["id", "reason"], sorted(quarantine.reasons.items())))
        (folder / DATA_REPORT).write_text(data_report(page), encoding="utf-8")
        return manifest.publish(uri, folder)


class Quarantine:
    """The samples that cannot be used.

    Attributes:
        reasons: The reason by sample id.
    """

    def __init__(self, num_samples: int, max_bad_fraction: float) -> None:
        self.reasons: dict[str, str] = {}
        self._num_samples = num_samples
        self._max_bad_fraction = max_bad_fraction

    def add(self, samples: Iterable[Sample | ConvertedSample]) -> None:
        """Adds those that have a reason.

        Raises:
            ValueError: If there are now more than allowed, or all samples are bad.
        """
        self.reasons |= {sample.sample_id: sample.reason for sample in samples if sample.reason}
        check_bad_share(self.reasons, self._num_samples, self._max_bad_fraction)
        if len(self.reasons) == self._num_samples:
            (commonest,) = commonest_reasons(self.reasons, 1)
            raise ValueError(f"None of the {self._num_samples} samples can be used. The most common reason: {commonest}")


def _convert(
    index: Sequence[Sample],
    images_uri: str,
    uri: str,
    settings: ConvertSettings,
    reading: Reading,
    quarantine: Quarantine,
    engine: Engine,
) -> tuple[Conversion, list[Link], list[Link], Reading]:
    """Writes the shards of all splits.

    Returns:
        The conversion, the links between near-duplicates, those within the source's groups, and how the files were read: with
        the measured range for `intensity_range=auto`.
    """
    samples = {sample.sample_id: sample for sample in index if not sample.reason}
    batches = {sample_id: sample.batch for sample_id, sample in samples.items()}
    fractions = split_fractions(settings.validation_fraction, settings.test_fraction)

    is_random = settings.split == "random"
    if is_random and any(sample.group for sample in samples.values()):
        raise ValueError("split=random does not keep groups together: give split=grouped, or leave group_column out")

    def plan(split_of: Mapping[str, str], reading: Reading = reading) -> list[ShardTask]:
        planned = [samples[sample_id] for sample_id in split_of]
        size, seed = settings.image_size_px, settings.split_seed
        return plan_shards(planned, split_of, settings.filters, size, images_uri, uri, seed, reading)

    def split(ids: Iterable[str], links: Sequence[Link] = ()) -> dict[str, str]:
        labels = {sample_id: samples[sample_id].labels for sample_id in ids}
        return split_samples(labels, settings.split, fractions, settings.split_seed, batches, links)

    def write(split_of: Mapping[str, str], reading: Reading = reading) -> Conversion:
        conversion = write_splits(plan(split_of, reading), engine)
        quarantine.add(conversion.samples)
        _check_splits(conversion, fractions)
        return conversion

    is_auto = settings.intensity_range == AUTO_RANGE
    if is_random and not is_auto:
        conversion = write(split(samples))
        return conversion, _link_near_duplicates(conversion.samples, batches), [], reading
    tasks = plan(dict.fromkeys(samples, MEASURED if is_auto else UNSPLIT))
    hashed = measure_samples(tasks, engine) if is_auto else write_unsplit(tasks, engine)
    quarantine.add(hashed)
    near_duplicates = _link_near_duplicates(hashed, batches)
    good = [sample.sample_id for sample in hashed if not sample.reason]
    of_groups = link_groups({sample_id: samples[sample_id].group for sample_id in good}, batches)
    split_of = split(good, [] if is_random else near_duplicates + of_groups)
    if is_auto:
        spans = [sample.levels for sample in hashed if split_of.get(sample.sample_id) == "train"]
        reading = replace(reading, intensity_range=common_range(spans))
        _log.info("intensity_range=auto gives %s for %s", reading.intensity_range, ", ".join(settings.filters))
        conversion = write(split_of, reading)
    else:
        conversion = split_unsplit(tasks, hashed, split_of, engine)
    return conversion, near_duplicates, of_groups, reading


def _link_near_duplicates(samples: Iterable[ConvertedSample], batches: Mapping[str, int]) -> list[Link]:
    return link_near_duplicates({s.sample_id: s.perceptual_hash for s in samples if not s.reason}, batches)


def _check_splits(conversion: Conversion, fractions: Mapping[str, float]) -> None:
    for split, fraction in fractions.items():
        if fraction > 0 and not sum(shard.num_records for shard in conversion.shards[split]):
            raise ValueError(f"No sample of the {split} split can be used: give more samples, or another split_seed")


def _samples_csv(
    samples: Sequence[ConvertedSample], stains: Sequence[str], links: Iterable[Link], index: Iterable[Sample]
) -> bytes:
    groups = group_samples([sample.sample_id for sample in samples], links)
    columns = {sample.sample_id: sample.columns for sample in index}
    names = column_names(columns.values())
    sizes = ["pixel_size_um", "width_um"] if any(sample.pixel_size_um for sample in samples) else []
    rows = [
        [s.sample_id, s.split, s.shard, s.start, groups[s.sample_id], format_target(s.labels), *s.mean, *s.mean_square]
        + [s.pixel_size_um or "", s.width_um or ""][: len(sizes)]
        + [columns[s.sample_id].get(name, "") for name in names]
        for s in samples
    ]
    moments = [f"{moment}_{name}" for moment in ("mean", "mean_square") for name in stains]
    more = [f"{COLUMN}{name}" for name in names]
    return gzip.compress(_csv(["id", "split", "shard", "offset", "group", "labels", *moments, *sizes, *more], rows), mtime=0)


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
