import hashlib
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.index import ImageFile, Sample
from components.artifacts.labels import FILTERS
from components.convert.shards.tasks import ShardTask, read_part
from components.convert.shards.writer import write_shard
from components.convert.split.perceptual_hash import HASH_BITS
from tests.components.conftest import arithmetic_pixels
from tests.components.tf_examples import parse_example

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
MakeSamples = Callable[..., list[Sample]]
PlanTasks = Callable[..., list[ShardTask]]


@pytest.fixture
def readers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _records(task: ShardTask) -> list[dict[str, tf.Tensor]]:
    return [parse_example(record, (75, 75, 3), 28) for record in tf.data.TFRecordDataset(task.uri)]


def test_records_contain_exactly_the_pixels_of_opencv(
    make_samples: MakeSamples, plan_tasks: PlanTasks, make_pixels: MakePixels, readers: ThreadPoolExecutor
) -> None:
    (task,) = plan_tasks(make_samples(12), "train")
    write_shard(task, readers)
    described = read_part(task.part_uri).samples
    data = storage.read_bytes(task.uri)
    for record, sample, result in zip(_records(task), task.samples, described, strict=True):
        seeds = [int(sample.files[name].name[0]) for name in FILTERS[:3]]
        pixels = np.stack([cv2.resize(make_pixels(s, 96), (75, 75), interpolation=cv2.INTER_AREA) for s in seeds], axis=-1)
        np.testing.assert_array_equal(record["pixels"], pixels)
        assert np.flatnonzero(record["labels"]).tolist() == list(sample.labels) == list(result.labels)
        assert record["id"].numpy().decode() == sample.sample_id == result.sample_id
        np.testing.assert_allclose(result.mean, pixels.mean(axis=(0, 1)))
        np.testing.assert_allclose(result.mean_square, (pixels.astype(float) ** 2).mean(axis=(0, 1)))
        assert result.channel_histograms().shape == (3, 64)
        assert len(result.perceptual_hash) * 8 == HASH_BITS
        assert sample.sample_id.encode() in data[result.start : result.start + result.num_bytes]
    assert sum(result.num_bytes for result in described) == len(data)


def test_a_shard_is_described(make_samples: MakeSamples, plan_tasks: PlanTasks, readers: ThreadPoolExecutor) -> None:
    for task in plan_tasks(make_samples(12)):
        write_shard(task, readers)
        part = read_part(task.part_uri)
        data = storage.read_bytes(task.uri)
        assert (part.shard.name, part.split) == (task.name, task.split)
        assert (part.shard.num_bytes, part.shard.crc32c) == (len(data), storage.crc32c(data))
        assert part.shard.num_records == len(_records(task)) == len(part.samples)


def test_bad_samples_are_left_out_with_a_reason(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, make_pixels: MakePixels, make_png: MakePng,
    readers: ThreadPoolExecutor,
) -> None:  # fmt: skip
    good = make_samples(1)[0]

    def with_red(sample_id: str, data: bytes) -> Sample:
        storage.write_bytes(f"{tmp_path}/images/{sample_id}.png", data)
        file = ImageFile(f"{sample_id}.png", len(data), storage.crc32c(data))
        return Sample(sample_id, (1,), 0, "", good.files | {"red": file})

    png = make_png(make_pixels(9, 96))
    samples = [
        good,
        Sample("lacking", (1,), 0, "", {name: file for name, file in good.files.items() if name != "blue"}),
        Sample("repeated", (1,), 0, "", good.files | {"yellow": good.files["green"]}),
        with_red("truncated", png[:-2000]),
        with_red("deep", make_png(make_pixels(9, 96).astype(np.uint16))),
        with_red("larger", make_png(make_pixels(9, 100))),
        with_red("black", make_png(np.zeros((96, 96), np.uint8))),
    ]
    (task,) = plan_tasks(samples, "train")
    write_shard(task, readers)
    part = read_part(task.part_uri)
    reasons = {sample.sample_id: sample.reason for sample in part.samples}
    assert reasons.pop("truncated").startswith("the red filter is a ")
    assert reasons.pop("deep").startswith("the red filter is 16-bit, with grey levels from 0 to 255: give intensity_range=")
    assert reasons.pop("black").startswith("the red filter is all black")
    assert reasons == {
        "s000": "",
        "lacking": "the blue filter is missing",
        "repeated": "the green and yellow filters show the same image",
        "larger": "filters of different sizes: 96 x 96, 100 x 100 pixels",
    }
    assert part.shard.num_records == 1
    assert [record["id"].numpy() for record in _records(task)] == [b"s000"]
    assert all(not sample.perceptual_hash and not sample.mean for sample in part.samples if sample.reason)


def test_a_damaged_file_is_an_error_instead_of_a_bad_sample(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, readers: ThreadPoolExecutor
) -> None:
    samples = make_samples(1)
    red = tmp_path / "images" / samples[0].files["red"].name
    red.write_bytes(red.read_bytes()[:-1])
    (task,) = plan_tasks(samples, "train")
    with pytest.raises(OSError, match=r"is damaged: expected the CRC-32C .* Delete it and run again"):
        write_shard(task, readers)
    assert not storage.exists(task.part_uri)


def test_unreadable_images_leave_no_part_of_a_shard(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, readers: ThreadPoolExecutor
) -> None:
    (task,) = plan_tasks(make_samples(2), "train")
    (tmp_path / "images" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png"):
        write_shard(task, readers)
    assert _files(tmp_path / "examples") == {}


def test_a_shard_that_a_kill_left_without_description_is_described(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, readers: ThreadPoolExecutor
) -> None:
    (task,) = plan_tasks(make_samples(2), "train")
    write_shard(task, readers)
    before = _files(tmp_path / "examples")
    written_at = Path(task.uri).stat().st_mtime_ns
    Path(task.part_uri).unlink()
    write_shard(task, readers)
    assert _files(tmp_path / "examples") == before
    assert Path(task.uri).stat().st_mtime_ns == written_at


def test_a_shard_with_other_content_is_not_overwritten(
    tmp_path: Path, make_samples: MakeSamples, plan_tasks: PlanTasks, readers: ThreadPoolExecutor
) -> None:
    (task,) = plan_tasks(make_samples(2), "train")
    write_shard(replace(task, samples=task.samples[:1]), readers)
    before = storage.read_bytes(task.uri)
    Path(task.part_uri).unlink()
    with pytest.raises(FileExistsError):
        write_shard(replace(task, samples=task.samples[1:]), readers)
    assert storage.read_bytes(task.uri) == before
    assert not storage.exists(task.part_uri)


def test_records_change_only_with_format(
    tmp_path: Path, plan_tasks: PlanTasks, make_stored_png: MakePng, readers: ThreadPoolExecutor
) -> None:
    """If this fails because records were changed on purpose: increment FORMAT in settings.py, and update the digest here."""
    samples = []
    for number in range(3):
        files = {}
        for position, name in enumerate(FILTERS):
            data = make_stored_png(arithmetic_pixels(4 * number + position))
            storage.write_bytes(f"{tmp_path}/images/s{number}_{name}.png", data)
            files[name] = ImageFile(f"s{number}_{name}.png", len(data), storage.crc32c(data))
        samples.append(Sample(f"s{number}", (number, 27), 0, "", files))
    (task,) = plan_tasks(samples, "train", 8, FILTERS)
    write_shard(task, readers)
    data = storage.read_bytes(task.uri)
    assert struct.unpack("<Q", data[:8])[0] == len(data) // 3 - 16
    assert hashlib.sha256(data).hexdigest() == "4a921ab295e872920bb64526aa844ec68da56f703534b9a70f855c92d41fe31a"
