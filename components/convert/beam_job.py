"""The Beam job: each element is a whole shard, decoded, resized and written by one call.

Only file names go in, and nothing comes out: a shard describes itself in a file beside it, which is also its done-mark. So the
job is the same on every engine, its memory is flat, and a job that was killed carries on with the shards that are missing.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from pydantic import BaseModel, ConfigDict

from components.convert.decode import BadImageError, decode_png, stack_filters
from components.convert.split import SPLITS
from components.shared import storage
from components.shared.index import ImageFile, Sample
from components.shared.manifest import Shard
from components.shared.progress import progress_bar
from components.shared.records import encode_example

SHARD_BYTES = 64 << 20
MAX_SHARD_SAMPLES = 256


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: its samples, where their images are, and the form of the result."""

    name: str
    split: str
    samples: tuple[Sample, ...]
    filters: tuple[str, ...]
    image_size_px: int
    images_uri: str
    examples_uri: str

    @property
    def part_uri(self) -> str:
        """The file in which the finished shard describes itself."""
        return storage.join(self.examples_uri, "parts", f"{self.name}.json")


class ConvertedSample(BaseModel):
    """What became of a sample: its moments per channel in grey levels, or the reason why it was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_id: str
    split: str
    shard: str
    labels: tuple[int, ...]
    mean: tuple[float, ...] = ()
    mean_square: tuple[float, ...] = ()
    reason: str = ""


class ShardPart(BaseModel):
    """A finished shard and its samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: Shard
    split: str
    samples: list[ConvertedSample]


def plan_shards(
    samples: Sequence[Sample],
    sides: Mapping[str, str],
    filters: Sequence[str],
    image_size_px: int,
    images_uri: str,
    examples_uri: str,
    seed: int,
) -> list[ShardTask]:
    """Deals the samples of each side to shards of at most 64 MB, in an order that is random but always the same."""
    per_shard = max(1, min(MAX_SHARD_SAMPLES, SHARD_BYTES // (image_size_px**2 * len(filters))))
    shuffled = sorted(samples, key=lambda s: hashlib.sha256(f"shard:{seed}:{s.sample_id}".encode()).digest())
    tasks = []
    for split in SPLITS:
        members = [sample for sample in shuffled if sides[sample.sample_id] == split]
        num_shards = -(-len(members) // per_shard)
        for number in range(num_shards):
            name = f"{split}-{number:05d}-of-{num_shards:05d}.tfrecord"
            dealt = tuple(members[number::num_shards])
            tasks.append(ShardTask(name, split, dealt, tuple(filters), image_size_px, images_uri, examples_uri))
    return tasks


def run_job(tasks: Sequence[ShardTask], options: PipelineOptions) -> list[ShardPart]:
    """Writes the shards that are missing, on the engine that the options name, and returns what all of them say."""
    missing = [task for task in tasks if not _is_done(task)]
    if len(missing) < len(tasks):
        logging.getLogger(__name__).info("%d of %d shards are there already", len(tasks) - len(missing), len(tasks))
    with _progress(tasks), beam.Pipeline(options=options) as pipeline:
        shards = pipeline | "Shards" >> beam.Create(missing, reshuffle=True)
        shards | "Decode, resize, write" >> beam.ParDo(WriteShard())
    return [ShardPart.model_validate_json(storage.read_bytes(task.part_uri)) for task in tasks]


def _is_done(task: ShardTask) -> bool:
    if not storage.exists(task.part_uri):
        return False
    shard = ShardPart.model_validate_json(storage.read_bytes(task.part_uri)).shard
    return storage.size_bytes(storage.join(task.examples_uri, shard.name)) == shard.num_bytes


class WriteShard(beam.DoFn):  # type: ignore[misc]
    """Writes one shard and its description."""

    def process(self, task: ShardTask) -> None:
        """Writes the shard of a task. Does nothing else: see the module's documentation."""
        write_shard(task)


def write_shard(task: ShardTask) -> None:
    """Decodes, resizes and writes the samples of one shard; then describes it, which marks it as done.

    Raises:
        FileExistsError: If a shard of this name has other content: the code has changed and its FORMAT has not.
    """
    converted = []
    uri = storage.join(task.examples_uri, task.name)
    try:
        with storage.create(uri) as path:
            with tf.io.TFRecordWriter(str(path)) as writer:
                for sample in task.samples:
                    result, example = _convert(task, sample)
                    converted.append(result)
                    if example:
                        writer.write(example)
            num_bytes, checksum = path.stat().st_size, storage.file_crc32c(path)
    except FileExistsError:  # killed between the shard and its description, or two runs at once
        if storage.file_crc32c(storage.to_path(uri)) != checksum:
            raise
    num_records = sum(not sample.reason for sample in converted)
    shard = Shard(name=task.name, num_records=num_records, num_bytes=num_bytes, crc32c=checksum)
    part = ShardPart(shard=shard, split=task.split, samples=converted)
    storage.write_bytes(task.part_uri, part.model_dump_json().encode())


def _convert(task: ShardTask, sample: Sample) -> tuple[ConvertedSample, bytes | None]:
    described = ConvertedSample(sample_id=sample.sample_id, split=task.split, shard=task.name, labels=sample.labels)
    try:
        images = [_read_image(task.images_uri, sample.files.get(name), name) for name in task.filters]
        pixels = stack_filters(images, task.image_size_px)
    except BadImageError as error:
        return described.model_copy(update={"reason": str(error)}), None
    mean = pixels.mean(axis=(0, 1), dtype=np.float64)
    mean_square = np.square(pixels, dtype=np.float64).mean(axis=(0, 1))
    moments = {"mean": tuple(mean.tolist()), "mean_square": tuple(mean_square.tolist())}
    return described.model_copy(update=moments), encode_example(sample.sample_id, pixels, sample.labels)


def _read_image(images_uri: str, file: ImageFile | None, name: str) -> np.ndarray:
    if file is None:
        raise BadImageError(f"the {name} filter is missing")
    uri = storage.join(images_uri, file.name)
    data = storage.read_bytes(uri)
    if storage.crc32c(data) != file.crc32c:  # not the sample's fault: what was ingested is no longer there
        raise OSError(f"{uri} is damaged: expected the CRC-32C {file.crc32c}. Delete it and run again: ingest brings it anew")
    try:
        return decode_png(data)
    except BadImageError as error:
        raise BadImageError(f"the {name} filter is {error}") from None


@contextmanager
def _progress(tasks: Sequence[ShardTask]) -> Iterator[None]:
    """Shows how many samples are in finished shards, whatever engine writes them: it counts the files."""
    sizes = {f"{task.name}.json": len(task.samples) for task in tasks}
    parts_uri = storage.join(tasks[0].examples_uri, "parts")
    finished = threading.Event()

    def count() -> int:
        return sum(sizes.get(name, 0) for name in storage.list_names(parts_uri))

    def watch() -> None:
        while not finished.wait(1.0):
            progress.update(count() - progress.n)

    with progress_bar(sum(sizes.values()), "samples") as progress:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
            progress.update(count() - progress.n)
