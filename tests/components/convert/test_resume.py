"""A conversion is killed at random moments, and restarted until it completes."""

import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from components import storage
from components.artifacts.index import Sample
from components.convert.conversion import split_unsplit, write_splits, write_unsplit
from components.convert.settings import UNSPLIT
from components.convert.shards import resplit
from components.convert.shards import tasks as tasks_module
from components.convert.shards.runner import Engine
from components.convert.shards.tasks import ShardTask

MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]

_NUM_KILLS = 8
# A fork server with these imports starts processes quickly, and without locks held by other threads.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["components.convert.conversion"])


def _convert(tasks: list[ShardTask]) -> None:
    engine = Engine.named("local", "")
    if tasks[0].split != UNSPLIT:
        write_splits(tasks, engine)
        return
    resplit.MAX_SHARD_SAMPLES = tasks_module.MAX_SHARD_SAMPLES = 10
    converted = write_unsplit(tasks, engine)
    split_of = {s.sample_id: ("train", "train", "validation", "test")[int(s.sample_id[1:]) % 4] for s in converted}
    split_unsplit(tasks, converted, split_of, engine)


def _start(tasks: list[ShardTask]) -> BaseProcess:
    process = _PROCESSES.Process(target=_convert, args=(tasks,))
    process.start()
    return process


def _wait_for_shards(task: ShardTask, num_shards: int, process: BaseProcess) -> None:
    parts_uri = task.part_uri.rpartition("/")[0]
    while process.is_alive() and len(storage.list_names(parts_uri)) < num_shards:
        time.sleep(0.001)


def _files(uri: str) -> dict[str, tuple[int, int, bytes]]:
    """Each finished file, with attributes that change when it is written again."""
    paths = (path for path in Path(uri).rglob("*") if path.is_file() and ".partial" not in path.parts)
    return {p.relative_to(uri).as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in paths}


@pytest.mark.slow
@pytest.mark.parametrize("split", [UNSPLIT, pytest.param("", marks=pytest.mark.long, id="split")])
def test_a_killed_conversion_resumes_and_ends_with_the_same_bytes(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    """A conversion killed eight times at random moments resumes, and ends with the same bytes."""
    monkeypatch.setattr(tasks_module, "MAX_SHARD_SAMPLES", 10)
    samples = make_samples(400)
    tasks = plan_tasks(samples, split)
    process = _start(tasks)
    process.join()
    assert process.exitcode == 0
    Path(tasks[0].examples_uri).rename(tmp_path / "whole")
    expected = {name: data for name, (_, _, data) in _files(str(tmp_path / "whole")).items()}
    assert len(expected) >= 2 * 40

    chance = random.Random(0)
    progress = []
    for _ in range(_NUM_KILLS):
        before = _files(tasks[0].examples_uri)
        process = _start(tasks)
        num_shards = sum(name.startswith("parts/") for name in before)
        _wait_for_shards(tasks[0], num_shards + chance.randrange(9), process)
        process.join(chance.uniform(0, 0.02))
        process.kill()
        process.join()
        after = _files(tasks[0].examples_uri)
        gone = {name for name in before if name not in after}
        assert all(name.startswith("unsplit/") for name in gone)
        assert {name: file for name, file in after.items() if name in before} == {
            name: file for name, file in before.items() if name not in gone
        }
        progress.append(len(after))
    process = _start(tasks)
    process.join()
    assert process.exitcode == 0
    assert {name: data for name, (_, _, data) in _files(tasks[0].examples_uri).items()} == expected
    assert len(set(progress)) >= _NUM_KILLS / 2  # otherwise the kills missed the writing
    # After a kill at the end, no later write removes the unfinished files.
    for left in Path(tasks[0].examples_uri).rglob(".partial"):
        storage.sweep(str(left.parent))
    assert not list(Path(tasks[0].examples_uri).rglob(".partial/*"))
