"""A small set of examples that a small network learns in seconds."""

import gzip
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.manifest import SAMPLES, Examples, Shard
from components.artifacts.record_writer import encode_example

SIDE_PX = 16
CLASS_NAMES = ["bright", "striped", "spotted"]


def draw(number: int) -> tuple[np.ndarray, list[int]]:
    """An image whose classes show: brightness, vertical stripes, a spot."""
    random = np.random.default_rng(number)
    labels = sorted(random.choice(len(CLASS_NAMES), size=random.integers(1, 3), replace=False).tolist())
    pixels = random.integers(0, 40, (SIDE_PX, SIDE_PX, 3))
    pixels[:, :, 0] += 120 * (0 in labels)
    pixels[:, ::4, 1] += 150 * (1 in labels)
    pixels[6:10, 6:10, 2] += 200 * (2 in labels)
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Real TFRecords: 96 to train on in three shards, 24 each to validate and to test; and the table of all samples."""
    folder = tmp_path_factory.mktemp("examples")
    shards: dict[str, list[Shard]] = {}
    table = ["id,split"]
    number = 0
    for split, sizes in {"train": [40, 40, 16], "validation": [24], "test": [24]}.items():
        shards[split] = []
        for position, size in enumerate(sizes):
            path = folder / f"{split}-{position:05d}-of-{len(sizes):05d}.tfrecord"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for _ in range(size):
                    writer.write(encode_example(f"sample-{number:03d}", *draw(number)))
                    table.append(f"sample-{number:03d},{split}")
                    number += 1
            shard = Shard(name=path.name, num_records=size, num_bytes=path.stat().st_size, crc32c=storage.file_crc32c(path))
            shards[split].append(shard)
    found = Examples(
        fingerprint="0123456789abcdef",
        inputs={},
        parameters={},
        source="test",
        licence="none",
        uri=str(folder),
        image_size_px=SIDE_PX,
        channels=["red", "green", "blue"],
        class_names=CLASS_NAMES,
        shards=shards,
        num_quarantined=0,
    )
    Path(found.file_uri(SAMPLES)).parent.mkdir()
    Path(found.file_uri(SAMPLES)).write_bytes(gzip.compress("\n".join(table).encode()))
    return found


@pytest.fixture(scope="session")
def make_backbone() -> Callable[[], keras.Model]:
    """Makes a network in InceptionResNetV2's place, with batch normalisation as that has: the same each time."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        pixels = keras.Input((SIDE_PX, SIDE_PX, 3))
        features = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(pixels)
        features = keras.layers.BatchNormalization(momentum=0.9)(features)
        return keras.Model(pixels, keras.layers.Conv2D(16, 3, activation="relu")(features))

    return make


@pytest.fixture
def small_backbone(make_backbone: Callable[[], keras.Model]) -> keras.Model:
    """One of these networks."""
    return make_backbone()
