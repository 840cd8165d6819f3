"""Copies records from unsplit shards into the shards of their splits.

The split of a sample depends on the hashes of all samples, so unsplit shards are written first. Their records are copied
without parsing, each run of neighbours in one piece.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from components import storage
from components.artifacts.damage import to_json
from components.artifacts.manifest import Shard
from components.artifacts.tfrecord import RecordWriter, is_whole_record
from components.convert.shards.tasks import (
    MAX_SHARD_SAMPLES,
    SHARD_BYTES,
    ConvertedSample,
    ShardPart,
    part_uri,
    shard_names,
    unless_finished,
)
from components.convert.split.assignment import SPLITS
from components.storage.read_ahead import read_ahead


@dataclass(frozen=True)
class RecordRun:
    """Consecutive records of an unsplit shard: the offset of the first, and the size of each."""

    shard: str
    start: int
    sizes: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """The size of the run."""
        return sum(self.sizes)

    def cut(self, content: bytes) -> list[bytes]:
        """Cuts the bytes of the run into its records."""
        ends = list(accumulate(self.sizes, initial=0))
        return [content[start:end] for start, end in pairwise(ends)]


@dataclass(frozen=True)
class CopyTask:
    """A shard of a split to write, with the records to copy."""

    name: str
    split: str
    runs: tuple[RecordRun, ...]
    source_uri: str
    folder_uri: str

    @property
    def uri(self) -> str:
        """The URI of the shard."""
        return storage.join(self.folder_uri, self.name)

    @property
    def part_uri(self) -> str:
        """The file that describes the finished shard."""
        return part_uri(self.folder_uri, self.name)

    @property
    def num_samples(self) -> int:
        """The number of its records."""
        return sum(len(run.sizes) for run in self.runs)


def plan_copies(
    samples: Iterable[ConvertedSample], split_of: Mapping[str, str], unsplit_uri: str, examples_uri: str
) -> tuple[list[CopyTask], list[ConvertedSample]]:
    """Distributes the records of each split over shards of at most 64 MB, in their order, which is already random.

    Args:
        samples: The samples of the unsplit shards.
        split_of: The split of each good sample.
        unsplit_uri: The folder of the unsplit shards.
        examples_uri: The folder of the examples.

    Returns:
        The shards, and the good samples as they will be in the shards.
    """
    ordered = sorted((sample for sample in samples if not sample.reason), key=lambda s: (s.shard, s.start))
    tasks: list[CopyTask] = []
    placed: list[ConvertedSample] = []
    for split in SPLITS:
        members = [sample for sample in ordered if split_of[sample.sample_id] == split]
        num_bytes = sum(sample.num_bytes for sample in members)
        num_shards = max(-(-num_bytes // SHARD_BYTES), -(-len(members) // MAX_SHARD_SAMPLES))
        for number, name in enumerate(shard_names(split, num_shards)):
            cut = members[len(members) * number // num_shards : len(members) * (number + 1) // num_shards]
            tasks.append(CopyTask(name, split, tuple(_runs(cut)), unsplit_uri, examples_uri))
            starts = accumulate((sample.num_bytes for sample in cut), initial=0)
            placed += [replace(s, split=split, shard=name, start=start) for s, start in zip(cut, starts, strict=False)]
    return tasks, placed


def _runs(samples: Sequence[ConvertedSample]) -> Iterator[RecordRun]:
    """Joins neighbouring records."""
    run: list[ConvertedSample] = []
    for sample in samples:
        if run and (sample.shard, sample.start) != (run[-1].shard, run[-1].start + run[-1].num_bytes):
            yield _run(run)
            run = []
        run.append(sample)
    yield _run(run)


def _run(samples: Sequence[ConvertedSample]) -> RecordRun:
    return RecordRun(samples[0].shard, samples[0].start, tuple(sample.num_bytes for sample in samples))


def copy_shard(task: CopyTask, readers: Executor) -> None:
    """Writes a shard of a split, then describes it, which marks it as done.

    Args:
        task: The shard.
        readers: The threads that read the records.

    Raises:
        FileExistsError: If a shard of this name exists with other content.
        OSError: If an unsplit shard is damaged.
    """
    with unless_finished(task.part_uri):
        with storage.create(task.uri) as path, RecordWriter(path) as writer:
            for _, records in read_ahead(readers, task.runs, lambda run: _read(task, run), lambda run: run.num_bytes):
                for record in records:
                    writer.write(record)
        shard = Shard(name=task.name, num_records=writer.num_records, num_bytes=writer.num_bytes, crc32c=writer.crc32c)
        part = ShardPart(shard=shard, split=task.split)
        storage.write_bytes(task.part_uri, to_json(part, indent=None))


def _read(task: CopyTask, run: RecordRun) -> list[bytes]:
    uri = storage.join(task.source_uri, run.shard)
    content = storage.read_range(uri, run.start, run.num_bytes, lambda content: all(map(is_whole_record, run.cut(content))))
    return run.cut(content)
