"""A small set of examples, which a small network learns in seconds."""

from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import keras
import numpy as np
import pytest

from components.artifacts.examples import ExampleReader, open_splits
from components.artifacts.manifest import Examples
from components.convert.transform import ImageMoments, write_transform_graph

SIDE_PX = 16
CLASS_NAMES = ["bright", "striped", "spotted"]


def draw(number: int) -> tuple[np.ndarray, list[int]]:
    """An image that shows its classes: brightness, vertical stripes, a spot."""
    random = np.random.default_rng(number)
    labels = sorted(random.choice(len(CLASS_NAMES), size=random.integers(1, 3), replace=False).tolist())
    pixels = random.integers(0, 40, (SIDE_PX, SIDE_PX, 3))
    pixels[:, :, 0] += 120 * (0 in labels)
    pixels[:, ::4, 1] += 150 * (1 in labels)
    pixels[6:10, 6:10, 2] += 200 * (2 in labels)
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="session")
def examples(publish_examples: Callable[..., Examples], tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Real TFRecords: 96 training examples in three shards, 24 each for validation and test."""
    numbers = count()
    sizes = {"train": [40, 40, 16], "validation": [24], "test": [24]}
    shards = {
        split: [[(f"sample-{number:03d}", *draw(number)) for number in islice(numbers, size)] for size in of_split]
        for split, of_split in sizes.items()
    }
    return publish_examples(tmp_path_factory.mktemp("examples") / "e", shards, CLASS_NAMES, fingerprint="0123456789abcdef")


@pytest.fixture(scope="session")
def splits(examples: Examples) -> Iterator[dict[str, ExampleReader]]:
    """All splits, open."""
    with open_splits(examples, ["train", "validation", "test"]) as readers:
        yield readers


@pytest.fixture(scope="session")
def transform_graph(examples: Examples, splits: dict[str, ExampleReader], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What convert writes beside the examples: the statistics of the training split."""
    folder = tmp_path_factory.mktemp("transform") / "graph"
    moments = []
    for number, labels in enumerate(splits["train"].labels):
        image = splits["train"].pixels(number).astype(float)
        mean, mean_square = image.mean(axis=(0, 1)), np.square(image).mean(axis=(0, 1))
        moments.append(ImageMoments(tuple(mean), tuple(mean_square), tuple(np.flatnonzero(labels).tolist())))
    write_transform_graph(moments, len(examples.class_names), folder)
    return folder


@pytest.fixture(scope="session")
def make_backbone() -> Callable[[], keras.Model]:
    """Builds a network that replaces InceptionResNetV2, with batch normalisation and always the same weights."""

    def make() -> keras.Model:
        keras.utils.set_random_seed(0)
        pixels = keras.Input((None, None, 3))
        features = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(pixels)
        features = keras.layers.BatchNormalization(momentum=0.9)(features)
        return keras.Model(pixels, keras.layers.Conv2D(16, 3, activation="relu")(features))

    return make


@pytest.fixture
def small_backbone(make_backbone: Callable[[], keras.Model]) -> keras.Model:
    """One of these networks."""
    return make_backbone()
