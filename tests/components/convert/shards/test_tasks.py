from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components import storage
from components.artifacts.index import Sample
from components.artifacts.labels import FILTERS
from components.artifacts.manifest import Shard
from components.convert.settings import UNSPLIT
from components.convert.shards.tasks import (
    SHARD_BYTES,
    ConvertedSample,
    ShardPart,
    ShardTask,
    pack_histograms,
    plan_shards,
    read_part,
)

MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]

_SAMPLE = ConvertedSample("s1", "train", "x", (1, 5), 7, 9, (0.1, 2.0, 255.0), (1 / 3, 4.0, 65025.0), b"\0\xff", b"\1\2", "")


class TestPlan:
    def test_assigns_every_sample_of_a_split_to_one_of_its_shards(
        self, make_samples: MakeSamples, plan_tasks: PlanTasks
    ) -> None:
        samples = make_samples(1200)
        tasks = plan_tasks(samples)
        assert [task.name for task in tasks] == [
            "train-00000-of-00003.tfrecord",
            "train-00001-of-00003.tfrecord",
            "train-00002-of-00003.tfrecord",
            "validation-00000-of-00002.tfrecord",
            "validation-00001-of-00002.tfrecord",
            "test-00000-of-00002.tfrecord",
            "test-00001-of-00002.tfrecord",
        ]
        assert Counter(sample.sample_id for task in tasks for sample in task.samples) == {s.sample_id: 1 for s in samples}
        assert all(task.name.startswith(task.split) for task in tasks)
        assert all(150 <= len(task.samples) <= 256 for task in tasks)
        assert sum(task.num_samples for task in tasks) == 1200

    @pytest.mark.parametrize(("image_size_px", "num_filters"), [(75, 3), (512, 4), (3072, 3), (3072, 4)])
    def test_keeps_shards_below_64_mb(
        self, make_samples: MakeSamples, plan_tasks: PlanTasks, image_size_px: int, num_filters: int
    ) -> None:
        tasks = plan_tasks(make_samples(300), "train", image_size_px, FILTERS[:num_filters])
        assert all(len(task.samples) * image_size_px**2 * num_filters <= SHARD_BYTES for task in tasks)

    def test_shuffles_samples_independently_of_their_order(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(40)
        split_of = {sample.sample_id: "train" for sample in samples}

        def plan(order: list[Sample], seed: int) -> list[ShardTask]:
            return plan_shards(order, split_of, FILTERS[:3], 75, "images", str(tmp_path), seed)

        assert plan(samples, 0) == plan(samples[::-1], 0)
        assert plan(samples, 0) != plan(samples, 1)
        assert list(plan(samples, 0)[0].samples) != samples

    def test_keeps_unsplit_shards_apart(self, make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
        (unsplit,) = plan_tasks(make_samples(3), UNSPLIT)
        (train,) = plan_tasks(make_samples(3), "train")
        assert unsplit.uri == f"{unsplit.examples_uri}/unsplit/unsplit-00000-of-00001.tfrecord"
        assert train.uri == f"{train.examples_uri}/train-00000-of-00001.tfrecord"


def test_a_task_lists_its_files_and_their_size(make_samples: MakeSamples, plan_tasks: PlanTasks) -> None:
    samples = make_samples(2)
    lacking = replace(samples[1], files={name: file for name, file in samples[1].files.items() if name != "blue"})
    (task,) = plan_tasks([samples[0], lacking], "train")
    assert list(task.files(samples[0])) == ["red", "green", "blue"]
    assert list(task.files(lacking)) == ["red", "green"]
    read = [*task.files(samples[0]).values(), *task.files(lacking).values()]
    assert task.num_bytes == sum(file.num_bytes for file in read)


def test_a_description_round_trips(tmp_path: Path) -> None:
    bad = ConvertedSample("s2", "train", "x", (), reason="the red filter is missing")
    part = ShardPart(shard=Shard(name="x", num_records=1, num_bytes=2, crc32c="0"), split="train", samples=[_SAMPLE, bad])
    storage.write_bytes(f"{tmp_path}/part", part.model_dump_json().encode())
    assert read_part(f"{tmp_path}/part") == part


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/part", b'{"shard": ')
    with pytest.raises(ValueError, match=r"/part: expected the description of a shard\. .* delete it and run again"):
        read_part(f"{tmp_path}/part")


def test_histograms_keep_every_count_in_bins_of_four_levels() -> None:
    counts = np.arange(3 * 256, dtype=np.int64).reshape(3, 256) * 10_000
    kept = replace(_SAMPLE, histogram=pack_histograms(counts)).channel_histograms()
    np.testing.assert_array_equal(kept, counts.reshape(3, 64, 4).sum(axis=2))
