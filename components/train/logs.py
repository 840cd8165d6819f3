"""Writes the curves for TensorBoard, below `data_root`."""

import time

import tensorflow as tf

from components import storage
from components.runtime.scratch import scratch_folder
from components.train.history import History


def write_events(uri: str, history: History) -> None:
    """Writes the figures of the last epoch to a folder.

    Each epoch has its own events file, because an object store cannot append. TensorBoard reads them together.
    """
    figures = {name: values[-1] for name, values in history.curves.items()} | {"images_per_s": history.images_per_s[-1]}
    # An events file is a TFRecord file of these messages. TensorFlow's own writer needs TensorBoard.
    values = [tf.compat.v1.Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
    events = [
        tf.compat.v1.Event(wall_time=time.time(), file_version="brain.Event:2"),
        tf.compat.v1.Event(wall_time=time.time(), step=history.num_epochs, summary=tf.compat.v1.Summary(value=values)),
    ]
    with scratch_folder() as folder:
        path = folder / f"events.out.tfevents.{time.time_ns()}.epoch-{history.num_epochs:04d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
        storage.store(path, storage.join(uri, path.name))
