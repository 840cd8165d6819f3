"""Measures the images per second of the input pipeline, compared with alternatives, on one core and on all cores.

    python -m benchmarks.input_pipeline

The alternatives are:
- raw records, as in this pipeline;
- the same pixels as PNG in records, read and decoded by tf.data;
- the same pixels in ArrayRecord files, compressed by zstd, read by Grain (skipped unless the extra `bench` is installed);
- the paper's way: a Keras Sequence that, in every epoch, opens the four 512 x 512 PNG files of each sample with Pillow, stacks
  the three that the network sees, and resizes them by Pillow's fastest method without aliasing (BOX). It uses as many threads
  as there are cores, like the `workers` of a Sequence.

All flip and turn images at random, and yield batches of 16 for some seconds, over as many epochs as that takes. The rest of the
augmentation is part of the training step, and not included. Each runs in its own process, once on one core and once on all,
with files in the page cache. Rates by processor time, from the runs on one core, also hold on a busy machine; the ratios are
based on them.
"""

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import describe_machine, image_path, make_images
from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import SAMPLES, Examples, Shard
from components.artifacts.tfrecord import RecordWriter, encode_example, frame_record
from components.images.decode import decode_filters, stack_filters

_CHANNELS = ("red", "green", "blue")
_BATCH = 16
_DISTINCT = 100
# The convolutions of InceptionResNetV2 in Keras take 13.2e9 multiply-adds for an image of 299 px; training takes three times
# that.
_FLOP_PER_IMAGE = 3 * 2 * 13.2e9
# Floating-point operations per second of the tensor cores, from NVIDIA's data sheets, and an assumed utilisation.
_GPUS = {"T4 (float16)": 65e12, "A100 (bfloat16)": 312e12}
_UTILISATION = 0.15


def make_files(folder: Path, num_images: int, image_size_px: int) -> None:
    """Writes the same samples in each form."""
    rendered = make_images(folder / "png", num_images, _DISTINCT)
    distinct = [stack_filters(decode_filters(sample.pngs, _CHANNELS), image_size_px) for sample in rendered]
    pixels = [distinct[number % len(distinct)] for number in range(num_images)]
    _write_raw(folder, pixels, image_size_px)
    _write_png(folder, pixels)
    _write_array_record(folder, pixels)


def _write_raw(folder: Path, pixels: list[np.ndarray], image_size_px: int) -> None:
    path = folder / "raw.tfrecord"
    table = ["id,split,shard,offset,labels"]
    with RecordWriter(path) as writer:
        for number, image in enumerate(pixels):
            offset = writer.write(frame_record(encode_example(str(number), image, (0, 25))))
            table.append(f"{number},train,{path.name},{offset},0 25")
    shard = Shard(name=path.name, num_records=len(pixels), num_bytes=path.stat().st_size, crc32c=storage.file_crc32c(path))
    examples = Examples(
        fingerprint="0" * 16,
        inputs={},
        parameters={},
        source="benchmark",
        licence="none",
        uri=str(folder),
        image_size_px=image_size_px,
        channels=list(_CHANNELS),
        class_names=list(CLASS_NAMES),
        shards={"train": [shard], "validation": [], "test": []},
        num_quarantined=0,
    )
    (folder / "examples.json").write_text(examples.model_dump_json())
    storage.write_bytes(examples.file_uri(SAMPLES), gzip.compress("\n".join(table).encode()))


def _write_png(folder: Path, pixels: list[np.ndarray]) -> None:
    with RecordWriter(folder / "png.tfrecord") as writer:
        for image in pixels:
            writer.write(frame_record(cv2.imencode(".png", image)[1].tobytes()))


def _write_array_record(folder: Path, pixels: list[np.ndarray]) -> None:
    try:
        from array_record.python.array_record_module import ArrayRecordWriter  # noqa: PLC0415 (may not be installed)
    except ImportError:
        return
    writer = ArrayRecordWriter(str(folder / "pixels.arrayrecord"), "group_size:1,zstd:1")
    for image in pixels:
        writer.write(image.tobytes())
    writer.close()


def raw_records(folder: Path, image_size_px: int) -> Iterator[Any]:
    """This pipeline."""
    from components.artifacts.examples import open_splits  # noqa: PLC0415 (each alternative has its own process)
    from components.train.inputs import plan_epoch, training_batches  # noqa: PLC0415
    from components.train.recipes import RECIPES  # noqa: PLC0415

    examples = Examples.model_validate_json((folder / "examples.json").read_text())
    with open_splits(examples, ["train"]) as splits:
        plan = lru_cache(maxsize=2)(partial(plan_epoch, splits["train"], RECIPES["paper"], 0))
        yield from training_batches(splits["train"], plan, range(1_000_000))


def png_records(folder: Path, image_size_px: int) -> Iterator[Any]:
    """tf.data with PNG decoding."""
    import tensorflow as tf  # noqa: PLC0415

    def parse(record: Any) -> Any:
        pixels = tf.image.random_flip_left_right(tf.io.decode_png(record, channels=len(_CHANNELS)))
        return tf.image.rot90(pixels, tf.random.uniform([], 0, 4, tf.int32))

    records = tf.data.TFRecordDataset(str(folder / "png.tfrecord")).shuffle(1000).repeat()
    yield from records.map(parse, tf.data.AUTOTUNE).batch(_BATCH).prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def array_records(folder: Path, image_size_px: int) -> Iterator[Any]:
    """Grain on ArrayRecord files."""
    import grain.python as grain  # noqa: PLC0415

    shape = (image_size_px, image_size_px, len(_CHANNELS))

    def parse(record: bytes, random: np.random.Generator) -> np.ndarray:
        pixels = np.frombuffer(record, np.uint8).reshape(shape)
        turned = np.rot90(pixels[:, ::-1] if random.integers(2) else pixels, int(random.integers(4)))
        return np.ascontiguousarray(turned)

    source = grain.ArrayRecordDataSource(str(folder / "pixels.arrayrecord"))
    images = grain.MapDataset.source(source).shuffle(seed=0).repeat().random_map(parse, seed=0)
    yield from images.to_iter_dataset().batch(_BATCH)


def paper(folder: Path, image_size_px: int) -> Iterator[Any]:
    """A Keras Sequence that reads the original images in every epoch."""
    from PIL import Image  # noqa: PLC0415

    random = np.random.default_rng(0)
    num_images = len(list((folder / "png").glob("*_red.png")))
    size = image_size_px, image_size_px

    def read(number: int, is_flipped: int, turns: int) -> np.ndarray:
        filters = [np.asarray(Image.open(image_path(folder / "png", number, name))) for name in (*_CHANNELS, "yellow")]
        stacked = Image.fromarray(np.stack(filters[: len(_CHANNELS)], axis=-1))
        image = np.asarray(stacked.resize(size, Image.Resampling.BOX))
        return np.rot90(image[:, ::-1] if is_flipped else image, turns)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        while True:
            for batch in random.permutation(num_images)[: num_images // _BATCH * _BATCH].reshape(-1, _BATCH):
                yield np.stack(list(workers.map(read, batch, random.integers(0, 2, _BATCH), random.integers(0, 4, _BATCH))))


WAYS: dict[str, tuple[str, Callable[[Path, int], Iterator[Any]]]] = {
    "raw": ("raw records (this pipeline)", raw_records),
    "png": ("PNG records, tf.data", png_records),
    "grain": ("ArrayRecord, Grain", array_records),
    "paper": ("PNG files, Pillow, each epoch (the paper's way)", paper),
}


def images_per_s(way: str, folder: Path, image_size_px: int, seconds: float) -> tuple[float, float]:
    """Takes batches for a while, after a warm-up. Returns images per second of wall time and of processor time."""
    batches = WAYS[way][1](folder, image_size_px)
    for _ in range(4):
        next(batches)
    started_s, started_cpu_s, count = time.perf_counter(), time.process_time(), 0
    while (taken_s := time.perf_counter() - started_s) < seconds:
        next(batches)
        count += _BATCH
    return count / taken_s, count / (time.process_time() - started_cpu_s)


def _run(way: str, folder: Path, image_size_px: int, seconds: float, is_one_core: bool) -> tuple[float, float]:
    """Measures in a fresh process, optionally on one core."""
    arguments = [way, str(folder), str(image_size_px), str(seconds), str(int(is_one_core))]
    command = [sys.executable, "-c", "from benchmarks.input_pipeline import child; child()", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    rate, by_cpu_s = map(float, output.split()[-2:])
    return rate, by_cpu_s


def child() -> None:
    """The main function of the fresh process."""
    way, folder, image_size_px, seconds, is_one_core = sys.argv[1:]
    if is_one_core == "1":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    print(*images_per_s(way, Path(folder), int(image_size_px), float(seconds)), flush=True)
    os._exit(0)  # drops waiting batches


def main() -> None:
    """Measures all alternatives in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--image-size-px", type=int, default=299)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, options.images, options.image_size_px)
        ways = [way for way in WAYS if way != "grain" or (folder / "pixels.arrayrecord").exists()]
        size = options.image_size_px, options.seconds
        runs = [
            {(way, one): _run(way, folder, *size, one) for one in (True, False) for way in ways} for _ in range(options.repeats)
        ]
    print(f"\n{options.image_size_px} px, batches of {_BATCH}; {describe_machine()}.\n")
    print("| | images/s, one core | images/s, all cores | images a second of processor time | speed-up of raw records |")
    print("|---|---:|---:|---:|---:|")
    for way in ways:
        one, all_cores = (statistics.median(run[way, is_one][0] for run in runs) for is_one in (True, False))
        by_cpu_s = statistics.median(run[way, True][1] for run in runs)
        ratio = statistics.median(run["raw", True][1] / run[way, True][1] for run in runs)
        print(f"| {WAYS[way][0]} | {one:.0f} | {all_cores:.0f} | {by_cpu_s:.0f} | {ratio:.1f} |")
    print(f"\nWhat a GPU asks for at 299 px, at a guess, if it does {_UTILISATION:.0%} of what its data sheet says:")
    for name, peak_flops in _GPUS.items():
        print(f"- {name}: some {peak_flops * _UTILISATION / _FLOP_PER_IMAGE:.0f} images/s")


if __name__ == "__main__":
    main()
