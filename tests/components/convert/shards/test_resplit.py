from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from components import storage
from components.artifacts.tfrecord import RecordWriter, frame_record, is_whole_record
from components.convert.shards import resplit
from components.convert.shards.resplit import CopyTask, RecordRun, copy_shard, plan_copies
from components.convert.shards.tasks import ConvertedSample, read_part

_SIDES = {f"s{k:02d}": ("train", "train", "validation")[k % 3] for k in range(30)}


@pytest.fixture
def readers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def unsplit(tmp_path: Path) -> list[ConvertedSample]:
    """Three shards of ten samples each, with one bad sample."""
    (tmp_path / "unsplit").mkdir()
    samples = []
    for number in range(3):
        with RecordWriter(tmp_path / "unsplit" / f"u{number}") as writer:
            for k in range(10 * number, 10 * number + 10):
                sample = ConvertedSample(f"s{k:02d}", "unsplit", f"u{number}", (k,))
                if k == 14:
                    samples.append(replace(sample, reason="bad"))
                else:
                    record = frame_record(f"content of s{k:02d}".encode() * (k + 1))
                    samples.append(replace(sample, start=writer.write(record), num_bytes=len(record)))
    return samples


def _plan(folder: Path, samples: list[ConvertedSample]) -> tuple[list[CopyTask], list[ConvertedSample]]:
    return plan_copies(samples, _SIDES, str(folder / "unsplit"), str(folder / "examples"))


def test_each_record_is_copied_unchanged_to_a_shard_of_its_split(
    tmp_path: Path, unsplit: list[ConvertedSample], readers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resplit, "MAX_SHARD_SAMPLES", 7)
    tasks, placed = _plan(tmp_path, unsplit)
    for task in tasks:
        copy_shard(task, readers)
    assert [task.name for task in tasks] == [
        "train-00000-of-00003.tfrecord",
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
        "validation-00000-of-00002.tfrecord",
        "validation-00001-of-00002.tfrecord",
    ]
    assert {s.sample_id: s.split for s in placed} == {k: side for k, side in _SIDES.items() if k != "s14"}
    was = {sample.sample_id: sample for sample in unsplit}
    for sample in placed:
        before = was[sample.sample_id]
        source = storage.read_range(str(tmp_path / "unsplit" / before.shard), before.start, before.num_bytes, is_whole_record)
        assert storage.read_range(str(tmp_path / "examples" / sample.shard), sample.start, sample.num_bytes, bool) == source
        assert sample.shard.startswith(sample.split)
        assert sample == replace(before, split=sample.split, shard=sample.shard, start=sample.start)
    for task in tasks:
        part = read_part(task.part_uri)
        data = storage.read_bytes(task.uri)
        assert (part.shard.name, part.split) == (task.name, task.split)
        assert (part.shard.num_bytes, part.shard.crc32c) == (len(data), storage.crc32c(data))
        assert part.shard.num_records == task.num_samples == sum(sample.shard == task.name for sample in placed)
        assert sum(sample.num_bytes for sample in placed if sample.shard == task.name) == len(data)


def test_the_plan_does_not_depend_on_the_order_of_the_samples(tmp_path: Path, unsplit: list[ConvertedSample]) -> None:
    assert _plan(tmp_path, unsplit[::-1]) == _plan(tmp_path, unsplit)


def test_shards_are_limited_by_bytes_too(
    tmp_path: Path, unsplit: list[ConvertedSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resplit, "SHARD_BYTES", 1000)
    tasks, placed = _plan(tmp_path, unsplit)
    num_train = sum(task.split == "train" for task in tasks)
    assert num_train == -(-sum(sample.num_bytes for sample in placed if sample.split == "train") // 1000)


def test_adjacent_records_are_read_together(tmp_path: Path, unsplit: list[ConvertedSample]) -> None:
    sizes = {sample.sample_id: sample.num_bytes for sample in unsplit}
    starts = {sample.sample_id: sample.start for sample in unsplit}
    (train, validation) = _plan(tmp_path, unsplit)[0]
    assert train.runs[:2] == (
        RecordRun("u0", 0, (sizes["s00"], sizes["s01"])),
        RecordRun("u0", starts["s03"], (sizes["s03"], sizes["s04"])),
    )
    assert [len(run.sizes) for run in validation.runs] == [1] * 9  # the tenth sample is s14


def test_a_damaged_unsplit_shard_is_named_and_nothing_is_published(
    tmp_path: Path, unsplit: list[ConvertedSample], readers: ThreadPoolExecutor
) -> None:
    damaged = tmp_path / "unsplit" / "u1"
    data = bytearray(damaged.read_bytes())
    data[-30] ^= 1
    damaged.write_bytes(data)
    train = _plan(tmp_path, unsplit)[0][0]
    with pytest.raises(OSError, match=r"unsplit/u1 is damaged: expected .* with valid checksums\. .*Delete it and run again"):
        copy_shard(train, readers)
    assert not storage.exists(train.uri)
    assert not storage.exists(train.part_uri)


def test_a_truncated_shard_is_damaged(tmp_path: Path, unsplit: list[ConvertedSample], readers: ThreadPoolExecutor) -> None:
    short = tmp_path / "unsplit" / "u2"
    short.write_bytes(short.read_bytes()[:-1])
    with pytest.raises(OSError, match="unsplit/u2 is damaged"):
        copy_shard(_plan(tmp_path, unsplit)[0][1], readers)


def test_another_run_may_have_finished_and_removed_the_unsplit_shards(
    tmp_path: Path, unsplit: list[ConvertedSample], readers: ThreadPoolExecutor
) -> None:
    train, validation = _plan(tmp_path, unsplit)[0]
    copy_shard(train, readers)
    before = storage.read_bytes(train.uri)
    storage.remove_tree(train.source_uri)
    copy_shard(train, readers)
    assert storage.read_bytes(train.uri) == before
    with pytest.raises(FileNotFoundError):
        copy_shard(validation, readers)
