"""A training run, from examples to a published model."""

import json
import logging
import math
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components import storage
from components.artifacts.damage import naming
from components.artifacts.examples import ExampleReader, open_splits
from components.artifacts.manifest import MODEL_MANIFEST, Examples, TrainedModel
from components.runtime.mlflow_run import MlflowRun
from components.runtime.scratch import scratch_folder
from components.serving.champion import Champion
from components.train.checkpoint import Checkpoints
from components.train.devices import open_devices
from components.train.export import check_export, export_model
from components.train.fit import train
from components.train.history import History
from components.train.logs import write_events
from components.train.model import BACKBONES, build_backbone, build_model
from components.train.precision import computing_in, resolve_precision
from components.train.reference import measure_reference
from components.train.report import augmented_versions, training_report
from components.train.settings import CHECKPOINTS, HISTORY, MODEL, NONE, TRAINING_REPORT, TrainSettings
from components.train.warm_start import Start

_log = logging.getLogger(__name__)

# How often a worker checks whether the chief has published.
_SECONDS_BETWEEN_LOOKS = 2.0
# The chief exports in a minute or two. After this long it must have died: the other workers have no other way to tell.
_SECONDS_TO_PUBLISH = 900.0


def train_model(
    examples: Examples, transform_graph: Path, data_root: str, settings: TrainSettings, champion: Champion | None = None
) -> TrainedModel:
    """Trains, exports, checks and publishes a model.

    Args:
        examples: The examples to train and validate on.
        transform_graph: The folder written by tensorflow-transform in convert.
        data_root: The folder above `training/`.
        settings: The requested model.
        champion: The version to warm-start from, if any.
    """
    _check_images(examples, settings)
    uri = settings.uri(examples, data_root)
    start = Start.choose(settings.weights, settings.recipe, settings.warm_start, champion, examples, uri)
    _log.info("training starts from %s", start.words)
    with open_splits(examples, ("train", "validation")) as splits:
        return _train(examples, splits, transform_graph, uri, settings, start)


def _check_images(examples: Examples, settings: TrainSettings) -> None:
    recipe, side_px, num_channels = settings.recipe, examples.image_size_px, len(examples.channels)
    min_px, crop_px = BACKBONES[recipe.backbone].min_side_px, recipe.crop_px(side_px)
    if recipe.crop < 1.0 and crop_px < min_px:
        raise ValueError(
            f"recipe={settings.recipe_name} trains {recipe.backbone} on crops of {recipe.crop:.0%} of the side: expected "
            f"crops of {min_px} px or more, so image_size_px={math.ceil(min_px / recipe.crop)} or more. Received: images of "
            f"{side_px} px, with crops of {crop_px} px"
        )
    if side_px < recipe.intended_size_px or num_channels < recipe.intended_channels:
        _log.warning(
            "recipe=%s is intended for images of %d px or more with %d channels or more (image_size_px=%d channels=rgby, for "
            "the atlas's images). These have %d px and %d channels",
            settings.recipe_name,
            recipe.intended_size_px,
            recipe.intended_channels,
            recipe.intended_size_px,
            side_px,
            num_channels,
        )


def _train(
    examples: Examples,
    splits: dict[str, ExampleReader],
    transform_graph: Path,
    uri: str,
    settings: TrainSettings,
    start: Start,
) -> TrainedModel:
    devices = open_devices()
    checkpoints = Checkpoints(storage.join(uri, CHECKPOINTS))
    mlflow_run = MlflowRun()
    # The warm-up of the head is only for pretrained backbones with a new head.
    weights = NONE if start.champion_uri else settings.weights
    recipe = settings.recipe if weights != NONE else replace(settings.recipe, warmup_epochs=0)
    constants = read_constants(transform_graph)
    # The training samples of this and earlier training runs. Read now: an old version may be removed during training.
    ids = sorted({*splits["train"].ids, *start.training_ids()})

    def on_epoch(history: History) -> None:
        if devices.is_chief:
            write_events(storage.join(uri, "logs"), history)
            mlflow_run.log_curves(history.curves)

    def build(weights: str) -> keras.Model:
        # Set for each network: requests that are retried in the meantime draw from the same generator.
        keras.utils.set_random_seed(settings.seed)
        side_px = recipe.input_side_px(examples.image_size_px)
        backbone = build_backbone(recipe.backbone, side_px, len(examples.channels), weights)
        moments = constants["channel_mean"], constants["channel_std"]
        expected = BACKBONES[recipe.backbone]
        head = len(examples.class_names), recipe.dropout
        return build_model(backbone, *moments, *head, expected.input_mean, expected.input_std, recipe.pooling)

    precision = resolve_precision(settings.precision, recipe.crop_px(examples.image_size_px))
    _log.info("computing in %s", precision)
    with computing_in(precision):
        with devices.strategy.scope():
            network = build(weights)
            if start.champion_uri:
                start.give_weights(network)
        history = train(network, splits["train"], splits["validation"], recipe, settings.seed, checkpoints, devices, on_epoch)
    if not devices.is_chief:
        return _wait_for_chief(uri)
    mlflow_run.log_curves(history.curves)  # a resumed run may have had no epoch left
    # The served network computes in float32 throughout, on one device.
    exact = build(NONE)
    exact.set_weights(network.get_weights())
    with computing_in("bfloat16"):
        rounded = build(NONE)
    rounded.set_weights(exact.get_weights())
    return _publish(exact, rounded, examples, splits, ids, uri, settings, start, history, precision)


def _wait_for_chief(uri: str) -> TrainedModel:
    started_s = time.monotonic()
    while not (published := TrainedModel.find(uri)):
        if time.monotonic() - started_s > _SECONDS_TO_PUBLISH:
            raise TimeoutError(
                f"The first worker published no model below {uri} within {_SECONDS_TO_PUBLISH:.0f} s after the end of the "
                "training: see its log. When restarted, all workers resume from the last checkpoint."
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return published


def _publish(
    network: keras.Model,
    rounded: keras.Model,
    examples: Examples,
    splits: dict[str, ExampleReader],
    ids: list[str],
    uri: str,
    settings: TrainSettings,
    start: Start,
    history: History,
    precision: str,
) -> TrainedModel:
    """Exports, checks and publishes the model.

    Args:
        network: The network to serve, in float32.
        rounded: The same network, computing in bfloat16.
        examples: The examples that it was trained on.
        splits: Their images.
        ids: The training samples of this and earlier training runs.
        uri: Where to publish.
        settings: How it was trained.
        start: The weights that it started from.
        history: The history of the training.
        precision: The precision of the training.
    """
    began = {"champion": start.champion_fingerprint} if start.champion_uri else {}
    _log.info("fitting the distribution of the training images")
    networks = {"float32": network, "bfloat16": rounded}
    reference, usual_distances = measure_reference(networks, splits["train"], splits["validation"])
    frequencies = splits["train"].labels.mean(axis=0).tolist()
    manifest = TrainedModel(
        fingerprint=settings.fingerprint(examples),
        inputs={"examples": examples.fingerprint} | began,
        parameters=settings.parameters(),
        source=examples.source,
        licence=examples.licence,
        uri=uri,
        class_names=examples.class_names,
        channels=examples.channels,
        image_size_px=examples.image_size_px,
        intensity_range=examples.intensity_range,
        pixel_size_um=examples.pixel_size_um,
        projection=examples.projection,
        usual_distances=usual_distances,
        class_frequencies=dict(zip(examples.class_names, frequencies, strict=True)),
        started_from=start.words,
        epochs_trained=history.num_epochs,
        best_epoch=history.best_epoch + 1,
        metrics=history.at_best() | {"val_accuracy_all_negative": 1 - float(splits["validation"].labels.mean())},
    )
    recipe = settings.recipe
    with scratch_folder() as folder:
        _log.info("exporting the model of epoch %d", manifest.best_epoch)
        options = recipe, examples.intensity_range, reference, rounded, examples.image_size_px
        export_model(network, examples.channels, examples.class_names, ids, folder / MODEL, *options)
        check_export(folder / MODEL, network, next(splits["validation"].batches(8)), recipe)
        # Without the URI: a served model should not reveal where it was trained.
        (folder / MODEL / MODEL_MANIFEST).write_bytes(manifest.model_copy(update={"uri": ""}).to_json())
        (folder / HISTORY).write_text(json.dumps(vars(history), indent=2), encoding="utf-8")
        augmented = augmented_versions(splits["train"], recipe, settings.seed)
        page = training_report(manifest, history, precision, augmented)
        (folder / TRAINING_REPORT).write_text(page, encoding="utf-8")
        return manifest.publish(uri, folder)


def read_constants(transform_graph: Path) -> dict[str, np.ndarray]:
    """Reads the constants that tensorflow-transform computed, without installing it.

    The graph computes an image's outputs from its moments and labels; an empty image yields the constants.

    Returns:
        `channel_mean` and `channel_std`, float32 of shape (channels,); `class_counts`, float32 of shape (classes,).
    """
    folder = str(transform_graph / "transform_fn")
    with naming(folder, "the transform graph that convert writes", more=(tf.errors.OpError, OSError)):
        signature = tf.saved_model.load(folder).signatures["serving_default"]
    _, specs = signature.structured_input_signature
    # One image without labels: dense inputs have one row, and the sparse labels are empty, of shape 1 x 1.
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
