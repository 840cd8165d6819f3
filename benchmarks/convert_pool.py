"""The reference for convert: the same work in a plain process pool, without Beam and without recovery from kills.

Each function does the work of one shard, and returns its number of samples. A damaged image is an error in all of them, as in
convert.
"""

import importlib
import io
import zlib
from collections.abc import Callable, Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from components.artifacts.index import Sample
from components.artifacts.tfrecord import RecordWriter, encode_example, frame_record
from components.convert.shards.tasks import ShardTask, pack_histograms
from components.convert.shards.writer import convert_sample
from components.convert.split.perceptual_hash import perceptual_hash
from components.images.intensity import channel_histograms, channel_moments
from components.images.plausibility import check_distinct, check_distinct_files, check_exposure
from components.images.png import chunks
from components.storage import crc32c


def run_pool(work: Callable[[ShardTask], int], tasks: Sequence[ShardTask], num_processes: int) -> int:
    """Does the work of all shards, and returns the number of samples."""
    Path(tasks[0].folder_uri).mkdir(parents=True, exist_ok=True)
    with Pool(num_processes) as pool:
        return sum(pool.imap_unordered(work, tasks))


def write_shard_with_same_codec(task: ShardTask) -> int:
    """Reads, checks, decodes and writes with convert's own functions."""
    with RecordWriter(Path(task.uri)) as writer:
        for sample in task.samples:
            record = convert_sample(task, sample, _read(task, sample))[1]
            assert record, sample.sample_id
            writer.write(record)
    return len(task.samples)


def write_shard_with_pillow(task: ShardTask) -> int:
    """The same, with Pillow for decoding and resizing."""
    with RecordWriter(Path(task.uri)) as writer:
        for sample in task.samples:
            check_distinct_files(sample.files)
            files = _read(task, sample)
            for data in files.values():
                list(chunks(data))  # Pillow does not compare the checksums of pixels
            images = {name: Image.open(io.BytesIO(data)) for name, data in files.items()}
            decoded = {name: np.asarray(image) for name, image in images.items()}
            for image in decoded.values():
                check_exposure(image)
            check_distinct(decoded)
            size = (task.image_size_px, task.image_size_px)
            pixels = np.stack([np.asarray(image.resize(size, Image.Resampling.BOX)) for image in images.values()], axis=-1)
            channel_moments(pixels)
            pack_histograms(channel_histograms(pixels))
            perceptual_hash(list(decoded.values()))
            writer.write(frame_record(encode_example(sample.sample_id, pixels, sample.labels)))
    return len(task.samples)


def inflate_with_zlib(task: ShardTask) -> int:
    """Only inflates the images' compressed data, which is a lower bound for any decoder."""
    return _inflate(task, zlib.decompress)


def inflate_with_isal(task: ShardTask) -> int:
    """The same with Intel's library, if it is installed: it is not a dependency of this project."""
    return _inflate(task, importlib.import_module("isal.isal_zlib").decompress)


def _inflate(task: ShardTask, decompress: Callable[[bytes], bytes]) -> int:
    for sample in task.samples:
        for data in _read(task, sample).values():
            decompress(b"".join(content for kind, content in chunks(data) if kind == b"IDAT"))
    return len(task.samples)


def _read(task: ShardTask, sample: Sample) -> dict[str, bytes]:
    pngs = {}
    for name, file in task.files(sample).items():
        pngs[name] = Path(task.images_uri, file.name).read_bytes()
        assert crc32c(pngs[name]) == file.crc32c, file.name
    return pngs
