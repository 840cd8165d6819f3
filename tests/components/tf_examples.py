"""Reads records of examples by TensorFlow alone: the independent check of what convert writes."""

from typing import Any

import tensorflow as tf


def parse_example(record: tf.Tensor, shape: tuple[int, int, int], num_classes: int) -> dict[str, Any]:
    """Parses one serialised example.

    Args:
        record: A scalar string.
        shape: Height, width and channels.
        num_classes: The number of classes.

    Returns:
        `pixels`: uint8 of `shape`. `labels`: float32 multi-hot, shape (num_classes,). `id`: string.
    """
    parsed = tf.io.parse_single_example(
        record,
        {
            "image/raw": tf.io.FixedLenFeature([], tf.string),
            "image/filename": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.RaggedFeature(tf.int64),
        },
    )
    one_hots = tf.one_hot(parsed["image/class/label"], num_classes)
    return {
        "pixels": tf.reshape(tf.io.decode_raw(parsed["image/raw"], tf.uint8), shape),
        "labels": tf.reduce_max(tf.concat([one_hots, tf.zeros((1, num_classes))], axis=0), axis=0),
        "id": parsed["image/filename"],
    }
