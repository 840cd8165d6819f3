"""The input pipeline: from TFRecords to batches, in an order that depends on nothing but the seed and the epoch."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.shared.manifest import Examples
from components.shared.records import parse_example, read_split
from components.train.recipes import Recipe
from components.train.record_files import RecordFiles


@dataclass(frozen=True)
class Epoch:
    """Which images an epoch shows, and how each is augmented: the same for the same seed, epoch and examples.

    Attributes:
        numbers: Of the examples, int64, steps x images.
        symmetries: 0 to 7: a quarter turn (the symmetry modulo 4), and from 4 on a flip before it. As `numbers`.
        draws: float32, steps x images x 2, in [-1, 1]: for the rotation and for the brightness.
    """

    numbers: np.ndarray
    symmetries: np.ndarray
    draws: np.ndarray

    @property
    def num_steps(self) -> int:
        """How many batches there are."""
        return len(self.numbers)


def plan_epoch(records: RecordFiles, recipe: Recipe, seed: int, epoch: int) -> Epoch:
    """Draws an epoch: as many images as there are, in whole batches.

    Without oversampling each image comes once; what does not fill a batch is left out, unless there is no other.
    """
    random = np.random.default_rng([seed, epoch])
    size = images_per_step(records, recipe.batch_size)
    num_steps = len(records) // size
    if recipe.oversampling:
        numbers = random.permutation(_resample(class_balance(records.descriptions[1], recipe.oversampling), random))
    else:
        numbers = random.permutation(len(records))
    shape = num_steps, size
    return Epoch(
        numbers[: num_steps * size].reshape(shape),
        random.integers(0, 8, shape),
        random.uniform(-1, 1, (*shape, 2)).astype(np.float32),
    )


def images_per_step(records: RecordFiles, batch_size: int) -> int:
    """How many images a step has: fewer than asked for only where there are not as many."""
    return min(batch_size, len(records))


def steps_per_epoch(records: RecordFiles, batch_size: int) -> int:
    """How many batches an epoch has."""
    return len(records) // images_per_step(records, batch_size)


def class_balance(labels: np.ndarray, strength: float) -> np.ndarray:
    """How often each image is to be seen: once for the commonest class, and more often the rarer its rarest class.

    Args:
        labels: bool, images x classes.
        strength: 0 for all alike; 1 for all classes alike.

    Returns:
        float64, one for each image, from 1.
    """
    counts = labels.sum(axis=0)
    by_class = (counts.max(initial=1) / np.maximum(counts, 1)) ** strength
    return np.maximum(1.0, np.where(labels, by_class, 0.0).max(axis=1, initial=1.0))


def _resample(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws as many numbers as there are weights, each as often as its weight says, rounded up or down."""
    ends = np.cumsum(weights / weights.sum())
    points = (random.random() + np.arange(len(weights))) / len(weights)
    return np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1)


def training_batches(
    records: RecordFiles, examples: Examples, plan: Epoch, first_step: int = 0, rows: slice = slice(None), num_parts: int = 1
) -> tf.data.Dataset:
    """The batches of an epoch.

    Flips and quarter turns happen here, on bytes, where they cost little; see `components.train.augmentation` for the rest.

    Args:
        records: What to read.
        examples: What the records are like.
        plan: Which, and in which order.
        first_step: Where to start.
        rows: Which images of each step, for one worker of several.
        num_parts: In how many batches the images of a step come: one for each of the worker's GPUs.

    Returns:
        Batches of (pixels, draws, labels): uint8 of shape (batch, height, width, channels); float32 of shape (batch, 2);
        float32 of shape (batch, classes).
    """
    numbers, symmetries, draws = (part[first_step:, rows] for part in (plan.numbers, plan.symmetries, plan.draws))
    size = numbers.shape[1] // num_parts
    shape = (examples.image_size_px, examples.image_size_px, len(examples.channels))
    num_classes = len(examples.class_names)

    def read(batch: tf.Tensor) -> tf.Tensor:
        serialised = tf.numpy_function(records.read, [batch], tf.string, stateful=False)
        return tf.ensure_shape(serialised, [size])

    def parse(record: tf.Tensor, symmetry: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parsed = parse_example(record, shape, num_classes)
        return _turn(parsed["pixels"], symmetry), draw, parsed["labels"]

    order = tf.data.Dataset.from_tensor_slices(
        (numbers.reshape(-1, size), symmetries.reshape(-1, size), draws.reshape(-1, size, 2))
    )
    serialised = order.map(lambda batch, *rest: (read(batch), *rest), num_parallel_calls=2, deterministic=True)
    images = serialised.unbatch().map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images.batch(size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(examples: Examples, split: str, batch_size: int) -> tf.data.Dataset:
    """All examples of one side of the split once, in order and as they are: (pixels, labels), as in `training_batches`."""
    parsed = read_split(examples, split).map(lambda example: (example["pixels"], example["labels"]))
    batches = parsed.apply(tf.data.experimental.assert_cardinality(examples.num_records(split))).batch(batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def _turn(pixels: tf.Tensor, symmetry: tf.Tensor) -> tf.Tensor:
    """One of the eight symmetries of the square."""
    flipped = tf.cond(symmetry < 4, lambda: pixels, lambda: tf.image.flip_left_right(pixels))
    return tf.ensure_shape(tf.image.rot90(flipped, tf.cast(symmetry % 4, tf.int32)), pixels.shape)
