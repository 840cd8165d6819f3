"""One training from examples to a published model."""

import json
import logging
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.shared import storage
from components.shared.manifest import MODEL_MANIFEST, Examples, TrainedModel
from components.shared.staging import staged
from components.train.checkpoint import Checkpoints
from components.train.export import check_export, export_model
from components.train.fit import prepare_device, train
from components.train.inputs import evaluation_batches
from components.train.model import build_model, inception_resnet_v2
from components.train.report import training_report
from components.train.request import HISTORY, MODEL, TRAINING_REPORT, Request

_log = logging.getLogger(__name__)

# How far the exported model's probabilities may be from the network's, on the same pixels.
_EXPORT_TOLERANCE = 1e-5


def train_model(examples: Examples, transform_graph: Path, data_root: str, request: Request) -> TrainedModel:
    """Trains, exports, checks and publishes a model.

    Args:
        examples: What to train and to validate on.
        transform_graph: The folder that convert's tensorflow-transform wrote.
        data_root: The folder above `training/`.
        request: What the model shall be.
    """
    with staged(examples, ("train", "validation")) as local:
        return _train_staged(local, transform_graph, request.uri(examples, data_root), request)


def _train_staged(examples: Examples, transform_graph: Path, uri: str, request: Request) -> TrainedModel:
    prepare_device()
    keras.utils.set_random_seed(request.seed)
    constants = read_constants(transform_graph)
    backbone = inception_resnet_v2(examples.image_size_px, len(examples.channels), request.weights)
    network = build_model(
        backbone, constants["channel_mean"], constants["channel_std"], len(examples.class_names), request.recipe.dropout
    )
    checkpoints = Checkpoints(storage.join(uri, "checkpoints"))
    history = train(network, examples, request.recipe, request.seed, checkpoints)
    best = {name: values[history.best_epoch] for name, values in history.curves.items()}
    manifest = TrainedModel(
        fingerprint=request.fingerprint(examples),
        inputs={"examples": examples.fingerprint},
        parameters=request.parameters(),
        source=examples.source,
        licence=examples.licence,
        uri=uri,
        class_names=examples.class_names,
        channels=examples.channels,
        image_size_px=examples.image_size_px,
        epochs_trained=history.num_epochs,
        best_epoch=history.best_epoch + 1,
        metrics=best | {"val_accuracy_all_negative": all_negative_accuracy(examples, "validation")},
    )
    with tempfile.TemporaryDirectory() as temp_dir:
        folder = Path(temp_dir) / "output"
        folder.mkdir()
        _log.info("exporting the model of epoch %d", manifest.best_epoch)
        export_model(network, examples.channels, examples.class_names, _ids(examples, "train"), folder / MODEL)
        _check_export(folder / MODEL, network, examples)
        (folder / MODEL / MODEL_MANIFEST).write_bytes(manifest.to_json())
        (folder / HISTORY).write_text(json.dumps(history.curves, indent=2), encoding="utf-8")
        (folder / TRAINING_REPORT).write_text(training_report(manifest, history), encoding="utf-8")
        published = manifest.publish(uri, folder)
    checkpoints.clear()
    return published


def read_constants(transform_graph: Path) -> dict[str, np.ndarray]:
    """Reads what tensorflow-transform learned, without installing it.

    The graph computes an image's outputs from its moments and labels; an empty image gives the constants.

    Returns:
        `channel_mean` and `channel_std`, float32 of shape (channels,); `class_counts`, float32 of shape (classes,).
    """
    signature = tf.saved_model.load(str(transform_graph / "transform_fn")).signatures["serving_default"]
    _, specs = signature.structured_input_signature
    # One image without labels: dense inputs have one row, and the sparse labels' indices, values and shape say "1 x 1, empty".
    inputs = {}
    for name, spec in specs.items():
        if spec.dtype == tf.float32:
            inputs[name] = tf.zeros([1, *spec.shape[1:]])
        elif spec.shape.rank == 1 and spec.shape[0] == 2:
            inputs[name] = tf.constant([1, 1], tf.int64)
        else:
            inputs[name] = tf.zeros([0, *spec.shape[1:]], tf.int64)
    outputs = signature(**inputs)
    return {name: outputs[name][0].numpy() for name in ("channel_mean", "channel_std", "class_counts")}


def all_negative_accuracy(examples: Examples, split: str) -> float:
    """The element-wise accuracy on a side of the split of answering "no" to every class: the floor under any accuracy."""
    labels = np.concatenate([labels for _, labels in evaluation_batches(examples, split, 256).as_numpy_iterator()])
    return float(1.0 - labels.mean())


def _ids(examples: Examples, split: str) -> list[str]:
    feature = {"image/filename": tf.io.FixedLenFeature([], tf.string)}
    records = tf.data.TFRecordDataset(examples.shard_uris(split)).map(lambda r: tf.io.parse_single_example(r, feature))
    return [parsed["image/filename"].decode() for parsed in records.as_numpy_iterator()]


def _check_export(folder: Path, network: keras.Model, examples: Examples) -> None:
    pixels, _ = next(evaluation_batches(examples, "validation", 8).as_numpy_iterator())
    difference = check_export(folder, network, pixels)
    if not difference <= _EXPORT_TOLERANCE:
        raise RuntimeError(f"The exported model's probabilities differ from the network's by {difference}: not published")
