"""The input pipeline: from TFRecords to batches, in an order that depends on nothing but the seed and the epoch."""

import numpy as np
import tensorflow as tf

from components.shared.manifest import Examples
from components.shared.records import parse_examples, read_split

# How much of the examples is held in memory to draw the next one from.
_SHUFFLE_BYTES = 256 << 20
_NUM_PARALLEL_SHARDS = 8


def training_batches(examples: Examples, batch_size: int, seed: int, epoch: int) -> tf.data.Dataset:
    """One epoch of training batches, in an order of its own.

    Flips and quarter turns happen here, on bytes, where they cost little; see `model.augmentation` for the rest.

    Returns:
        Batches of (pixels, labels): uint8 of shape (batch, height, width, channels), float32 of shape (batch, classes). All
        have `batch_size` images, unless there are not as many.
    """
    seeds = np.random.default_rng([seed, epoch])
    uris = seeds.permutation(examples.shard_uris("train"))
    num_buffered = max(1, _SHUFFLE_BYTES // (examples.image_size_px**2 * len(examples.channels)))
    shuffle_seed, turn_seed = (int(number) for number in seeds.integers(2**31, size=2))
    records = tf.data.Dataset.from_tensor_slices(uris).interleave(
        tf.data.TFRecordDataset, cycle_length=min(len(uris), _NUM_PARALLEL_SHARDS), num_parallel_calls=tf.data.AUTOTUNE
    )
    parsed = _pairs(parse_examples(records.shuffle(num_buffered, seed=shuffle_seed), examples))
    turned = parsed.enumerate().map(
        lambda position, pair: (_turn(pair[0], [turn_seed, position]), pair[1]), num_parallel_calls=tf.data.AUTOTUNE
    )
    drop_remainder = examples.num_records("train") >= batch_size
    batches = turned.batch(batch_size, drop_remainder=drop_remainder)
    return batches.apply(tf.data.experimental.assert_cardinality(steps_per_epoch(examples, batch_size))).prefetch(
        tf.data.AUTOTUNE
    )


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """How many batches `training_batches` has."""
    return max(1, examples.num_records("train") // batch_size)


def evaluation_batches(examples: Examples, split: str, batch_size: int) -> tf.data.Dataset:
    """All examples of one side of the split once, in order and as they are; as `training_batches` otherwise."""
    parsed = _pairs(read_split(examples, split))
    batches = parsed.apply(tf.data.experimental.assert_cardinality(examples.num_records(split))).batch(batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def _pairs(parsed: tf.data.Dataset) -> tf.data.Dataset:
    """What Keras trains on, of parsed examples."""
    return parsed.map(lambda example: (example["pixels"], example["labels"]))


def _turn(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the eight symmetries of the square, chosen by the seed."""
    choice = tf.random.stateless_uniform([2], seed, minval=0, maxval=4, dtype=tf.int32)
    turned = tf.image.rot90(pixels, choice[0])
    return tf.cond(choice[1] % 2 == 0, lambda: turned, lambda: tf.image.flip_left_right(turned))
