import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from components.convert.beam_job import SHARD_BYTES, ShardTask, plan_shards, run_job, write_shard
from components.convert.runner import local_options
from components.shared import storage
from components.shared.index import ImageFile, Sample
from components.shared.labels import FILTERS
from components.shared.records import parse_example

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
MakeSamples = Callable[..., list[Sample]]


@pytest.fixture
def make_samples(tmp_path: Path, make_pixels: MakePixels, make_png: MakePng) -> MakeSamples:
    """Stores some images and makes that many samples of them, in turns."""

    def make(num_samples: int, side_px: int = 96) -> list[Sample]:
        files = []
        for seed in range(8):
            data = make_png(make_pixels(seed, side_px))
            storage.write_bytes(f"{tmp_path}/images/{seed}.png", data)
            files.append(ImageFile(f"{seed}.png", len(data), storage.crc32c(data)))
        return [
            Sample(f"s{k:03d}", (k % 28,), 0, "", {name: files[(k + c) % 8] for c, name in enumerate(FILTERS)})
            for k in range(num_samples)
        ]

    return make


def _plan(
    samples: list[Sample], folder: Path, image_size_px: int = 75, filters: tuple[str, ...] = FILTERS[:3]
) -> list[ShardTask]:
    sides = {s.sample_id: ("train", "train", "validation", "test")[k % 4] for k, s in enumerate(samples)}
    return plan_shards(samples, sides, filters, image_size_px, str(folder / "images"), str(folder / "examples"), seed=0)


def _task(samples: list[Sample], folder: Path, examples: str = "examples") -> ShardTask:
    return ShardTask("x", "train", tuple(samples), FILTERS[:3], 75, str(folder / "images"), str(folder / examples))


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class TestPlan:
    def test_deals_every_sample_of_a_side_to_its_shards_once(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(1200)
        tasks = _plan(samples, tmp_path)
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

    @pytest.mark.parametrize(("image_size_px", "num_filters"), [(75, 3), (512, 4), (3072, 3), (3072, 4)])
    def test_keeps_shards_below_64_mb(
        self, tmp_path: Path, make_samples: MakeSamples, image_size_px: int, num_filters: int
    ) -> None:
        tasks = _plan(make_samples(300), tmp_path, image_size_px, FILTERS[:num_filters])
        assert all(len(task.samples) * image_size_px**2 * num_filters <= SHARD_BYTES for task in tasks)

    def test_is_the_same_whatever_the_order_and_mixes_samples(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(40)
        sides = {sample.sample_id: "train" for sample in samples}

        def plan(order: list[Sample], seed: int) -> list[ShardTask]:
            return plan_shards(order, sides, FILTERS[:3], 75, "images", str(tmp_path), seed)

        assert plan(samples, 0) == plan(samples[::-1], 0)
        assert plan(samples, 0) != plan(samples, 1)
        assert list(plan(samples, 0)[0].samples) != samples


class TestRunJob:
    def test_records_hold_the_very_pixels_that_opencv_gives(
        self, tmp_path: Path, make_samples: MakeSamples, make_pixels: MakePixels
    ) -> None:
        samples = {sample.sample_id: sample for sample in make_samples(12)}
        parts = run_job(_plan(list(samples.values()), tmp_path), local_options())
        seen = []
        for part in parts:
            path = tmp_path / "examples" / part.shard.name
            records = [parse_example(record, (75, 75, 3), 28) for record in tf.data.TFRecordDataset(str(path))]
            assert [record["id"].numpy().decode() for record in records] == [sample.sample_id for sample in part.samples]
            for record, described in zip(records, part.samples, strict=True):
                sample = samples[described.sample_id]
                seeds = [int(sample.files[name].name[0]) for name in FILTERS[:3]]
                pixels = np.stack(
                    [cv2.resize(make_pixels(seed, 96), (75, 75), interpolation=cv2.INTER_AREA) for seed in seeds], axis=-1
                )
                np.testing.assert_array_equal(record["pixels"], pixels)
                assert np.flatnonzero(record["labels"]).tolist() == list(sample.labels) == list(described.labels)
                np.testing.assert_allclose(described.mean, pixels.mean(axis=(0, 1)))
                np.testing.assert_allclose(described.mean_square, (pixels.astype(float) ** 2).mean(axis=(0, 1)))
                seen.append(described.sample_id)
        assert sorted(seen) == sorted(samples)

    def test_shards_describe_themselves(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        for part in run_job(_plan(make_samples(12), tmp_path), local_options()):
            path = tmp_path / "examples" / part.shard.name
            assert part.shard.num_bytes == path.stat().st_size
            assert part.shard.crc32c == storage.file_crc32c(path)
            assert part.shard.num_records == sum(1 for _ in tf.data.TFRecordDataset(str(path)))
            assert part.split == part.shard.name.split("-")[0]

    def test_carries_on_with_what_is_missing_and_gives_the_same_bytes(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        tasks = _plan(make_samples(600, side_px=80), tmp_path)
        assert len(tasks) == 4
        whole = run_job(tasks, local_options())
        before = _files(tmp_path / "examples")
        Path(tasks[0].part_uri).unlink()  # killed between a shard and its description
        Path(tasks[1].part_uri).unlink()  # killed before the shard was complete
        Path(storage.join(tasks[1].examples_uri, tasks[1].name)).unlink()
        kept = tmp_path / "examples" / tasks[2].name
        written_at = kept.stat().st_mtime_ns
        assert run_job(tasks, local_options()) == whole
        assert _files(tmp_path / "examples") == before
        assert kept.stat().st_mtime_ns == written_at

    def test_that_is_complete_does_nothing_again(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        tasks = _plan(make_samples(8), tmp_path)
        parts = run_job(tasks, local_options())
        for path in (tmp_path / "images").glob("*.png"):
            path.unlink()
        assert run_job(tasks, local_options()) == parts


class TestWriteShard:
    def test_leaves_bad_samples_out_with_their_reason(
        self, tmp_path: Path, make_samples: MakeSamples, make_pixels: MakePixels, make_png: MakePng
    ) -> None:
        good = make_samples(1)[0]

        def with_red(sample_id: str, data: bytes) -> Sample:
            storage.write_bytes(f"{tmp_path}/images/{sample_id}.png", data)
            file = ImageFile(f"{sample_id}.png", len(data), storage.crc32c(data))
            return Sample(sample_id, (1,), 0, "", good.files | {"red": file})

        png = make_png(make_pixels(0, 96))
        samples = [
            good,
            Sample("lacking", (1,), 0, "", {name: file for name, file in good.files.items() if name != "blue"}),
            with_red("truncated", png[:-2000]),
            with_red("deep", make_png(make_pixels(0, 96).astype(np.uint16))),
            with_red("larger", make_png(make_pixels(0, 100))),
        ]
        write_shard(_task(samples, tmp_path))
        (part,) = run_job([_task(samples, tmp_path)], local_options())
        reasons = {sample.sample_id: sample.reason for sample in part.samples}
        assert reasons.pop("truncated").startswith("the red filter is a damaged PNG: ")
        assert reasons == {
            "s000": "",
            "lacking": "the blue filter is missing",
            "deep": "the red filter is a 16-bit greyscale PNG: expected 8-bit greyscale",
            "larger": "filters of different sizes: 96 x 96, 100 x 100 pixels",
        }
        assert part.shard.num_records == 1
        (record,) = tf.data.TFRecordDataset(str(tmp_path / "examples" / "x"))
        assert parse_example(record, (75, 75, 3), 28)["id"].numpy() == b"s000"

    def test_takes_no_damaged_file_for_a_bad_sample(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(1)
        red = tmp_path / "images" / samples[0].files["red"].name
        red.write_bytes(red.read_bytes()[:-1])
        with pytest.raises(OSError, match=r"is damaged: expected the CRC-32C .* Delete it and run again"):
            write_shard(_task(samples, tmp_path))
        assert not storage.exists(_task(samples, tmp_path).part_uri)

    def test_writes_a_shard_again_that_was_deleted(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        task = _task(make_samples(2), tmp_path)
        (part,) = run_job([task], local_options())
        before = (tmp_path / "examples" / "x").read_bytes()
        (tmp_path / "examples" / "x").unlink()
        assert run_job([task], local_options()) == [part]
        assert (tmp_path / "examples" / "x").read_bytes() == before

    def test_refuses_to_overwrite_a_shard_that_has_other_content(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(2)
        write_shard(_task(samples[:1], tmp_path))
        before = _files(tmp_path / "examples")
        Path(_task(samples, tmp_path).part_uri).unlink()
        with pytest.raises(FileExistsError):
            write_shard(_task(samples[1:], tmp_path))
        assert (tmp_path / "examples" / "x").read_bytes() == before["x"]
        assert not storage.exists(_task(samples, tmp_path).part_uri)

    def test_publishes_nothing_of_a_shard_whose_images_cannot_be_read(self, tmp_path: Path, make_samples: MakeSamples) -> None:
        samples = make_samples(2)
        (tmp_path / "images" / "1.png").unlink()
        with pytest.raises(FileNotFoundError, match=r"1\.png"):
            write_shard(_task(samples, tmp_path))
        assert _files(tmp_path / "examples") == {}


def _drawn(seed: int) -> np.ndarray:
    """16 x 16 pixels by plain arithmetic: the same whatever is installed."""
    row, column = np.indices((16, 16))
    return ((row * 37 + column * 11 + row * column * 5 + seed * 29) % 256).astype(np.uint8)


def test_the_form_of_the_records_has_not_changed(tmp_path: Path, make_stored_png: MakePng) -> None:
    """If this fails because the records of the same images are meant to be others: raise FORMAT in request.py, update it."""
    samples = []
    for number in range(3):
        files = {}
        for position, name in enumerate(FILTERS):
            data = make_stored_png(_drawn(4 * number + position))
            storage.write_bytes(f"{tmp_path}/images/s{number}_{name}.png", data)
            files[name] = ImageFile(f"s{number}_{name}.png", len(data), storage.crc32c(data))
        samples.append(Sample(f"s{number}", (number, 27), 0, "", files))
    tasks = plan_shards(samples, dict.fromkeys(("s0", "s1", "s2"), "train"), FILTERS, 8, f"{tmp_path}/images", str(tmp_path), 0)
    (part,) = run_job(tasks, local_options())
    data = (tmp_path / part.shard.name).read_bytes()
    assert struct.unpack("<Q", data[:8])[0] == len(data) // 3 - 16
    assert hashlib.sha256(data).hexdigest() == "4a921ab295e872920bb64526aa844ec68da56f703534b9a70f855c92d41fe31a"
