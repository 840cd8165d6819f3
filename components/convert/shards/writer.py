"""Writes one shard: reads, decodes and resizes its samples, and describes the result for each. Or only measures them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from components import storage
from components.artifacts.damage import to_json
from components.artifacts.index import ImageFile, Sample, read_each_once, size_bytes
from components.artifacts.manifest import Shard
from components.artifacts.tfrecord import RecordWriter, encode_example, frame_record
from components.convert.shards.tasks import ConvertedSample, ShardPart, ShardTask, pack_histograms, unless_finished
from components.convert.split.perceptual_hash import perceptual_hash
from components.images.decode import decode_sample, measure_sample, stack_filters
from components.images.image import BadImageError
from components.images.intensity import channel_histograms, channel_moments
from components.images.plausibility import check_distinct_files
from components.storage.read_ahead import chunk_samples, read_ahead


def write_shard(task: ShardTask, readers: Executor) -> None:
    """Decodes, resizes and writes the samples of one shard; then describes it, which marks it as done.

    Args:
        task: The shard.
        readers: The threads that read its images.

    Raises:
        FileExistsError: If a shard of this name exists with other content: the code has changed, but FORMAT has not.
        OSError: If an image has changed since it was ingested.
    """
    converted = []
    with unless_finished(task.part_uri):
        with storage.create(task.uri) as path, RecordWriter(path) as writer:
            for sample, files in _read_samples(task, readers):
                result, record = convert_sample(task, sample, files)
                converted.append(replace(result, start=writer.write(record), num_bytes=len(record)) if record else result)
        shard = Shard(name=task.name, num_records=writer.num_records, num_bytes=writer.num_bytes, crc32c=writer.crc32c)
        _describe(task, shard, converted)


def measure_shard(task: ShardTask, readers: Executor) -> None:
    """Measures the grey levels and perceptual hashes of the samples of one shard, without writing it.

    Args:
        task: The shard.
        readers: The threads that read its images.

    Raises:
        OSError: If an image has changed since it was ingested.
    """
    measured = [_measure(task, sample, files) for sample, files in _read_samples(task, readers)]
    _describe(task, Shard(name=task.name, num_records=0, num_bytes=0, crc32c=""), measured)


def _measure(task: ShardTask, sample: Sample, files: Mapping[str, bytes]) -> ConvertedSample:
    described = _described(task, sample)
    try:
        planes, levels = measure_sample(files, task.filters, task.reading)
    except BadImageError as error:
        return replace(described, reason=str(error))
    return replace(described, perceptual_hash=perceptual_hash(planes, levels), levels=tuple(levels))


def _described(task: ShardTask, sample: Sample) -> ConvertedSample:
    return ConvertedSample(sample_id=sample.sample_id, split=task.split, shard=task.name, labels=sample.labels)


def _describe(task: ShardTask, shard: Shard, samples: list[ConvertedSample]) -> None:
    part = ShardPart(shard=shard, split=task.split, samples=samples)
    storage.write_bytes(task.part_uri, to_json(part, indent=None))


def _read_samples(task: ShardTask, readers: Executor) -> Iterator[tuple[Sample, dict[str, bytes]]]:
    def read(samples: Sequence[Sample]) -> list[dict[str, bytes]]:
        return [read_each_once(task.files(sample), lambda file: _read_image(task.images_uri, file)) for sample in samples]

    def num_bytes(samples: Sequence[Sample]) -> int:
        return sum(size_bytes(task.files(sample).values()) for sample in samples)

    size = chunk_samples(task.images_uri)
    chunks = [task.samples[start : start + size] for start in range(0, len(task.samples), size)]
    for samples, files in read_ahead(readers, chunks, read, num_bytes):
        yield from zip(samples, files, strict=True)


def _read_image(images_uri: str, file: ImageFile) -> bytes:
    uri = storage.join(images_uri, file.name)
    data = storage.read_bytes(uri)
    if storage.crc32c(data) != file.crc32c:  # not a bad sample: the image has changed since it was ingested
        raise OSError(f"{uri} is damaged: expected the CRC-32C {file.crc32c}. Delete it and run again: ingest restores it")
    return data


def convert_sample(task: ShardTask, sample: Sample, files: Mapping[str, bytes]) -> tuple[ConvertedSample, bytes | None]:
    """Converts one sample: its images are decoded once.

    Args:
        task: The shard that it is for.
        sample: Its row of the index.
        files: The file of each filter.

    Returns:
        The result, and the record; None for a bad sample.
    """
    described = _described(task, sample)
    try:
        decoded = decode_sample(files, task.filters, task.reading)
        if not task.reading.channels:
            check_distinct_files(sample.files)
        pixels = stack_filters(decoded.planes, task.image_size_px)
    except BadImageError as error:
        return replace(described, reason=str(error)), None
    mean, mean_square = channel_moments(pixels)
    described = replace(
        described,
        mean=tuple(mean.tolist()),
        mean_square=tuple(mean_square.tolist()),
        perceptual_hash=perceptual_hash(decoded.planes),
        pixel_size_um=decoded.pixel_size_um,
        width_um=decoded.width_um,
        histogram=pack_histograms(channel_histograms(pixels)),
    )
    return described, frame_record(encode_example(sample.sample_id, pixels, sample.labels))
