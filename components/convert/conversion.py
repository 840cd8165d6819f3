"""Writes the shards of train, validation and test, and resumes where a killed run stopped.

A random split depends only on the samples' ids, so its shards are written directly. A grouped split depends on the images:
unsplit shards are written first, and their records are then copied to the shards of their splits. With
`intensity_range=auto`, samples are measured first, so that the split and the range are known before any shard is written.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from components import storage
from components.artifacts.manifest import Shard
from components.convert.shards.beam_job import run_job
from components.convert.shards.resplit import CopyTask, copy_shard, plan_copies
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import ConvertedSample, ShardPart, ShardTask, read_part
from components.convert.shards.writer import measure_shard, write_shard
from components.convert.split.assignment import SPLITS
from components.storage.read_ahead import read_ahead, start_readers

_Task = TypeVar("_Task", ShardTask, CopyTask)

_Write = Callable[[ShardTask, Executor], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion: all samples, including bad ones, and the shards of each split."""

    samples: list[ConvertedSample]
    shards: dict[str, list[Shard]]


def write_splits(tasks: Sequence[ShardTask], engine: Engine) -> Conversion:
    """Writes the missing shards of the splits.

    Args:
        tasks: All shards of all splits.
        engine: The engine that writes them.
    """
    parts = _finished(tasks)
    parts |= _write([task for task in tasks if task.name not in parts], len(tasks), engine)
    return Conversion([sample for task in tasks for sample in parts[task.name].samples], _by_split(parts.values()))


def measure_samples(tasks: Sequence[ShardTask], engine: Engine) -> list[ConvertedSample]:
    """Measures the grey levels and perceptual hashes of the samples that have not been measured yet."""
    return _describe_all(tasks, engine, measure_shard)


def write_unsplit(tasks: Sequence[ShardTask], engine: Engine) -> list[ConvertedSample]:
    """Writes the shards of samples that are not split yet, and returns the result for each sample.

    A shard with a description is not written again, even if it is missing: `split_unsplit` checks whether it is needed.
    """
    return _describe_all(tasks, engine, write_shard)


def _describe_all(tasks: Sequence[ShardTask], engine: Engine, write: _Write) -> list[ConvertedSample]:
    """Writes the shards without a description, and returns the samples of all shards."""
    parts = _described(tasks)
    parts |= _write([task for task in tasks if task.name not in parts], len(tasks), engine, write)
    return [sample for task in tasks for sample in parts[task.name].samples]


def split_unsplit(
    tasks: Sequence[ShardTask], samples: Sequence[ConvertedSample], split_of: Mapping[str, str], engine: Engine
) -> Conversion:
    """Copies the records of unsplit shards into the shards of their splits, and removes the unsplit ones.

    Args:
        tasks: All unsplit shards.
        samples: The result of `write_unsplit`.
        split_of: The split of each good sample.
        engine: The engine that copies them.
    """
    copies, placed = plan_copies(samples, split_of, tasks[0].folder_uri, tasks[0].examples_uri)
    parts = _finished(copies)
    missing = [copy for copy in copies if copy.name not in parts]
    if missing:
        needed = {run.shard for copy in missing for run in copy.runs}
        there = _finished(tasks)
        lost = [task for task in tasks if task.name in needed and task.name not in there]
        if lost:
            _write(lost, len(lost), engine)
        _log.info("copying records into the shards of their splits: %d of %d", len(missing), len(copies))
        run_job(copy_shard, missing, engine.copying_options())
        parts |= _written(missing)
    storage.remove_tree(tasks[0].folder_uri)
    return Conversion(placed + [sample for sample in samples if sample.reason], _by_split(parts.values()))


def _write(missing: Sequence[ShardTask], num_tasks: int, engine: Engine, write: _Write = write_shard) -> dict[str, ShardPart]:
    if len(missing) < num_tasks:
        _log.info("%d of %d shards already exist", num_tasks - len(missing), num_tasks)
    if missing:
        run_job(write, missing, engine.decoding_options(sum(task.num_bytes for task in missing)))
    return _written(missing)


def _written(tasks: Sequence[_Task]) -> dict[str, ShardPart]:
    """The descriptions of shards after a job that should have written all of them."""
    parts = _described(tasks)
    if len(parts) < len(tasks):
        raise RuntimeError(
            f"The job has ended, but {len(tasks) - len(parts)} of its {len(tasks)} shards are missing. Leave out any option in "
            "beam_options that tells Beam not to wait for the end of a job, and run the same command again to resume"
        )
    return parts


def _described(tasks: Sequence[_Task]) -> dict[str, ShardPart]:
    """The descriptions of all shards that were finished at some time, by name."""
    if not tasks:
        return {}
    parts_uri = tasks[0].part_uri.rpartition("/")[0]
    names = set(storage.list_names(parts_uri))
    uris = [task.part_uri for task in tasks if task.part_uri.rpartition("/")[2] in names]
    with start_readers(parts_uri) as readers:
        parts = [part for _, part in read_ahead(readers, uris, read_part, lambda _: 0)]
    return {part.shard.name: part for part in parts}


def _finished(tasks: Sequence[_Task]) -> dict[str, ShardPart]:
    """Like `_described`, without shards that are missing or incomplete."""
    sizes = {name: file.num_bytes for name, file in storage.list_files(tasks[0].folder_uri).items()}
    return {name: part for name, part in _described(tasks).items() if sizes.get(name) == part.shard.num_bytes}


def _by_split(parts: Iterable[ShardPart]) -> dict[str, list[Shard]]:
    ordered = sorted(parts, key=lambda part: part.shard.name)
    return {split: [part.shard for part in ordered if part.split == split] for split in SPLITS}
