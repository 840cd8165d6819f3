"""What one TFRecord example holds: read by train and evaluate, written by convert with `components.artifacts.record_writer`.

| feature | type | content |
|---|---|---|
| image/raw | bytes | uint8 pixels, height x width x channels, row by row |
| image/height, image/width, image/channels | int64 | the shape |
| image/filename | bytes | the sample's id |
| image/class/label | int64 list | class indices, sorted |
"""

import tensorflow as tf

from components.artifacts.manifest import Examples


def parse_example(record: tf.Tensor, shape: tuple[int, int, int], num_classes: int) -> dict[str, tf.Tensor]:
    """Parses one serialised example inside a tf.data pipeline.

    Args:
        record: A scalar string.
        shape: Height, width and channels that the examples have.
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


def parse_examples(records: tf.data.Dataset, examples: Examples) -> tf.data.Dataset:
    """Parses serialised examples as `parse_example` does, with the shape and the classes that their manifest gives."""
    shape = (examples.image_size_px, examples.image_size_px, len(examples.channels))
    num_classes = len(examples.class_names)
    return records.map(lambda record: parse_example(record, shape, num_classes), num_parallel_calls=tf.data.AUTOTUNE)


def read_split(examples: Examples, split: str) -> tf.data.Dataset:
    """All parsed examples of one side of the split, in order."""
    return parse_examples(tf.data.TFRecordDataset(examples.shard_uris(split)), examples)
