"""Runs a served model over a folder of images."""

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from components import storage
from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.artifacts.labels import stains_of_source
from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.artifacts.parameters import check_parameters
from components.images.decode import Reading
from components.runtime.progress import progress_bar
from components.serving.champion import find_champion
from components.serving.predict.decoding import ImageForm, decoded_batches
from components.serving.predict.folder import find_images
from components.serving.predict.outputs import open_outputs, output_uris
from components.serving.versions import DONE_MARK

_log = logging.getLogger(__name__)

# From uint8 pixels, samples x height x width x channels, to probabilities and decisions, samples x classes.
Classify = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Predicted:
    """How a prediction went.

    Attributes:
        num_good: The samples that were predicted.
        num_bad: The samples that cannot be used.
        seconds: How long the model was at work, from its first batch to its last.
    """

    num_good: int
    num_bad: int
    seconds: float


def predict(
    model_uri: str,
    images_uri: str,
    out_uri: str,
    image_names: ImageNames = COMPETITION_NAMES,
    intensity_range: str = "",
    projection: str = "",
) -> Predicted:
    """Predicts every sample of a folder, and writes the files that `components.serving.predict.outputs` describes.

    Args:
        model_uri: A version, or the folder above the versions: then the champion.
        images_uri: The folder of the images.
        out_uri: The predictions.
        image_names: How the images are named. The stains are the model's.
        intensity_range: The grey levels that become 0 and 255; empty: as the model was trained.
        projection: How a stack becomes one plane; empty: as the model was trained.

    Raises:
        FileNotFoundError: If there is no model, or there are no images.
        FileExistsError: If the predictions exist already.
        ValueError: If `image_names.filters` does not name the model's stains.
    """
    version_uri = find_version(model_uri)
    trained = _read_manifest(version_uri)
    check_parameters(channels=",".join(trained.channels), filters=image_names.filters)
    image_names = replace(image_names, stains=stains_of_source(trained.channels))
    reading = Reading(
        tuple(image_names.channels.items()), intensity_range or trained.intensity_range, projection or trained.projection
    )
    form = ImageForm(tuple(trained.channels), trained.image_size_px, reading)
    samples = find_images(images_uri, trained.channels, image_names)
    with (
        open_outputs(out_uri, trained.class_names) as outputs,
        decoded_batches(samples, images_uri, form) as batches,
        tempfile.TemporaryDirectory() as folder,
    ):
        classify = load_model(version_uri, form, Path(folder))
        _log.info("the model is %s", version_uri)
        started_s = time.monotonic()
        with progress_bar(len(samples), "samples") as progress:
            for batch in batches:
                outputs.write(batch, *classify(batch.pixels))
                progress.update(len(batch.ids))
        seconds = time.monotonic() - started_s
    _log.info("%d samples predicted, at %.1f a second: %s", outputs.num_good, len(samples) / seconds, out_uri)
    if outputs.num_bad:
        _log.warning("%d samples cannot be used: the reasons are in %s", outputs.num_bad, output_uris(out_uri)[2])
    return Predicted(outputs.num_good, outputs.num_bad, seconds)


def find_version(model_uri: str) -> str:
    """The version that a URI means: itself, or the champion below it.

    Raises:
        FileNotFoundError: If it is neither a version nor the folder of a champion.
    """
    if storage.exists(storage.join(model_uri, DONE_MARK)):
        return model_uri
    serving_root, _, model_name = model_uri.rstrip("/").rpartition("/")
    champion = find_champion(serving_root, model_name)
    if not champion:
        raise FileNotFoundError(
            f"{model_uri}: expected a version, with {DONE_MARK}, or <serving_root>/<model_name>, with champion.json"
        )
    return champion.uri


def _read_manifest(version_uri: str) -> TrainedModel:
    try:
        return TrainedModel.read(storage.join(version_uri, MODEL_MANIFEST))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{version_uri} is no model of this pipeline: expected {MODEL_MANIFEST} in it, which push writes. "
            f"Received: {DONE_MARK} without it. Name a version below <serving_root>/<model_name>"
        ) from None


def load_model(version_uri: str, form: ImageForm, folder: Path) -> Classify:
    """Loads a version, and calls it once: TensorFlow plans on the first call, which takes seconds.

    Args:
        version_uri: The SavedModel.
        form: What it takes.
        folder: An empty one, for a copy of a model that is not on this machine.

    Raises:
        OSError: If it cannot be loaded.
    """
    import tensorflow as tf  # noqa: PLC0415 (seconds in which images are decoded already, or an error has been found)

    if not storage.is_local(version_uri):
        storage.fetch_tree(version_uri, folder)

    def classify(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = model.signatures["pixels"](pixels=tf.constant(pixels))
        return answer["probabilities"].numpy(), answer["decisions"].numpy()

    try:
        # The model must outlive its signature, which does not keep its variables.
        model = tf.saved_model.load(version_uri if storage.is_local(version_uri) else str(folder))
        classify(np.zeros((form.batch_size, form.image_size_px, form.image_size_px, len(form.filters)), np.uint8))
    except tf.errors.OpError as error:
        raise OSError(f"{version_uri} cannot be used: `python -m pipeline models verify` may tell why. {error}") from None
    return classify
