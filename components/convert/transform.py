"""The transform graph: tensorflow-transform's statistics of the training split, for the model to apply.

It is computed from the moments and labels of images, not from pixels: the mean of all pixels is the mean of the images' means,
because all images have the same size, and the variance follows from the mean of squares. This is exact and thousands of times
faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.convert.shards.runner import in_process_options
from components.runtime.scratch import scratch_folder


@dataclass(frozen=True)
class ImageMoments:
    """The moments of an image per channel, in grey levels from 0 to 255, and its labels."""

    mean: tuple[float, ...]
    mean_square: tuple[float, ...]
    labels: tuple[int, ...]


def write_transform_graph(images: Sequence[ImageMoments], num_classes: int, folder: Path) -> None:
    """Runs tensorflow-transform over the training images and writes its output (`transform_fn` and metadata).

    The graph maps `mean`, `mean_square` and `labels` of an image to four outputs: `channel_mean` and `channel_std`, float32 of
    shape (channels,), in grey levels; `class_counts`, float32 of shape (classes,); and `labels`, multi-hot of that shape. The
    first three are constants of the training split.
    """
    num_channels = len(images[0].mean)

    def preprocess(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mean = tft.mean(inputs["mean"], reduce_instance_dims=False)
        mean_square = tft.mean(inputs["mean_square"], reduce_instance_dims=False)
        variance = tf.maximum(mean_square - tf.square(mean), 0.0)
        multi_hot = tf.reduce_max(tf.one_hot(tf.sparse.to_dense(inputs["labels"], -1), num_classes), axis=1)
        rows = tf.shape(multi_hot)[0]
        return {
            "channel_mean": tf.repeat(mean[tf.newaxis], rows, axis=0),
            "channel_std": tf.repeat(tf.sqrt(variance)[tf.newaxis], rows, axis=0),
            "class_counts": tf.repeat(tft.sum(multi_hot, reduce_instance_dims=False)[tf.newaxis], rows, axis=0),
            "labels": multi_hot,
        }

    schema = schema_utils.schema_from_feature_spec(
        {
            "mean": tf.io.FixedLenFeature([num_channels], tf.float32),
            "mean_square": tf.io.FixedLenFeature([num_channels], tf.float32),
            "labels": tf.io.VarLenFeature(tf.int64),
        }
    )
    rows = [{"mean": list(i.mean), "mean_square": list(i.mean_square), "labels": list(i.labels)} for i in images]
    with (
        scratch_folder() as temp_dir,
        beam.Pipeline(options=in_process_options()) as pipeline,
        tft_beam.Context(temp_dir=str(temp_dir)),
    ):
        dataset = pipeline | "Moments" >> beam.Create(rows), dataset_metadata.DatasetMetadata(schema)
        transform_fn = dataset | "Analyze" >> tft_beam.AnalyzeDataset(preprocess)
        transform_fn | "Write" >> tft_beam.WriteTransformFn(str(folder))
