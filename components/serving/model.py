"""A served model: its version, its training and its predictions."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components import storage
from components.artifacts.manifest import (
    ACTIVATION_MAPS,
    MODEL_EVALUATION,
    MODEL_MANIFEST,
    MODEL_THRESHOLDS,
    SIGNATURES,
    Evaluation,
    TrainedModel,
)
from components.runtime.processor import multiplies_bfloat16
from components.serving.champion import find_champion
from components.serving.versions import DONE_MARK, check_version

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for a batch of images.

    Attributes:
        probabilities: float32, shape (images, classes).
        decisions: bool, shape (images, classes).
        distances: float32, shape (images,): how far each image is from the training images, at most 1 for most of them (see
            `components.train.reference`); None from models of earlier versions.
    """

    probabilities: np.ndarray
    decisions: np.ndarray
    distances: np.ndarray | None

    def distance(self, row: int) -> float | None:
        """The distance of one image, if there is one."""
        return None if self.distances is None else float(self.distances[row])


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        uri: The version's folder.
        trained: Its manifest.
        thresholds: float32, shape (classes,). A class is predicted at or above its threshold.
        precision: What it computes in: `float32` or `bfloat16`.
        evaluation: Its evaluation; None if it was pushed by an earlier version.
    """

    uri: str
    trained: TrainedModel
    thresholds: np.ndarray
    precision: str
    evaluation: Evaluation | None
    _model: Any

    @property
    def precision_fields(self) -> dict[str, Any]:
        """The JSON fields on precision, with the share of differing decisions if the model was judged in another."""
        judged = judged_precision(self.evaluation)
        if self.precision == judged:
            return {"precision": self.precision}
        differing = self.evaluation.differing_decisions if self.evaluation else None
        return {"precision": self.precision, "judged_precision": judged, "differing_decisions": differing}

    def describe_precision(self) -> str:
        """The precision in words, for the log."""
        said = self.precision_fields
        if "judged_precision" not in said:
            return f"computing in {self.precision}"
        differing = said["differing_decisions"]
        matters = "differing decisions were not measured" if differing is None else f"{differing:.3%} of decisions differ"
        return f"computing in {self.precision}, though the model was judged in {said['judged_precision']}: {matters}"

    @property
    def version(self) -> str:
        """The name of the version's folder: its number."""
        return self.uri.rstrip("/").rpartition("/")[2]

    def classify(self, pixels: np.ndarray) -> Predictions:
        """Classifies some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).
        """
        answer = self._model.signatures[SIGNATURES[self.precision]](pixels=_tensor(pixels))
        distances = answer["distances"].numpy() if "distances" in answer else None
        return Predictions(answer["probabilities"].numpy(), answer["decisions"].numpy(), distances)

    def is_unlike_training(self, distance: float | None) -> bool | None:
        """Whether an image is farther from the training images than 99 of 100 validation images; None if that is unknown."""
        usual = self.trained.usual_distances.get(self.precision)
        return None if distance is None or usual is None else not distance <= usual  # True for NaN

    def distance_fields(self, distance: float | None) -> dict[str, Any]:
        """The JSON fields on a distance; empty without one."""
        if distance is None:
            return {}
        is_unlike = self.is_unlike_training(distance)
        return {"distance": distance if math.isfinite(distance) else None, "is_unlike_training": is_unlike}

    def activation_maps(self, pixels: np.ndarray) -> np.ndarray | None:
        """The class activation maps of some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).

        Returns:
            float32, shape (images, map height, map width, classes), with NaN replaced by 0; None if the model has no such
            signature, or if its maps are of a single pixel, which shows nothing.
        """
        if ACTIVATION_MAPS not in self._model.signatures:
            return None
        maps = self._model.signatures[ACTIVATION_MAPS](pixels=_tensor(pixels))["maps"].numpy()
        return None if maps.shape[1] * maps.shape[2] == 1 else np.nan_to_num(maps)

    def weights(self) -> list[np.ndarray]:
        """The variables of the network, in its order."""
        return [variable.numpy() for variable in self._model.variables_]

    def normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and variance that the network normalises grey levels with, float32 of shape (channels,).

        Raises:
            ValueError: If the model was exported by an earlier version, which did not store them.
        """
        if not hasattr(self._model, "normalisation_"):
            raise ValueError(f"{self.uri} was exported by an earlier version, {self.trained.code_version}: train it again")
        mean, variance = (variable.numpy().ravel() for variable in self._model.normalisation_)
        return mean, variance


def find_version(model_uri: str) -> str:
    """The version that a URI refers to: itself, or the champion below it.

    Raises:
        FileNotFoundError: If it is neither a version nor a folder with a champion.
    """
    if storage.exists(storage.join(model_uri, DONE_MARK)):
        return model_uri
    serving_root, _, model_name = model_uri.rstrip("/").rpartition("/")
    champion = find_champion(serving_root, model_name)
    if not champion:
        raise FileNotFoundError(
            f"{model_uri}: expected a version, with {DONE_MARK}, or <serving_root>/<model_name>, with champion.json. "
            "The last lines of a run say whether it pushed a model, and where"
        )
    return champion.uri


def read_manifest(version_uri: str) -> TrainedModel:
    """Reads the manifest of a version, without TensorFlow.

    Raises:
        FileNotFoundError: If the version has no manifest.
    """
    try:
        return TrainedModel.read(storage.join(version_uri, MODEL_MANIFEST))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{version_uri} is not a model of this pipeline: expected {MODEL_MANIFEST} in it, which push writes. "
            f"Received: {DONE_MARK} without it. Name a version below <serving_root>/<model_name>"
        ) from None


def find_evaluation(version_uri: str) -> Evaluation | None:
    """The evaluation of a version; None if it was pushed by an earlier version.

    Raises:
        ValueError: If its evaluation is damaged.
    """
    uri = storage.join(version_uri, MODEL_EVALUATION)
    return Evaluation.read(uri) if storage.exists(uri) else None


def judged_precision(evaluation: Evaluation | None) -> str:
    """The precision that a model was judged in."""
    return evaluation.serving_precision if evaluation else "float32"


def load_model(version_uri: str, trained: TrainedModel, batch_size: int, folder: Path, precision: str = "") -> ServedModel:
    """Loads a version and calls it once, because the first call takes seconds.

    Args:
        version_uri: The SavedModel.
        trained: Its manifest.
        batch_size: The largest number of images in a call.
        folder: An empty folder for a copy of a model that is not on this machine. It must outlive the model.
        precision: What to compute in, `float32` or `bfloat16`; empty: what the model was judged in. A model exported without
            bfloat16 computes in float32, with a warning.

    Raises:
        OSError: If it cannot be loaded.
    """
    _log.info("loading the model")
    import tensorflow as tf  # noqa: PLC0415 (takes seconds, in which decoding starts or an error is found)

    if storage.is_local(version_uri):
        folder = Path(version_uri)
    else:
        storage.fetch_tree(version_uri, folder)
    try:
        check_version(str(folder))
        thresholds = np.loadtxt(folder / MODEL_THRESHOLDS, np.float32, ndmin=1)
        evaluation = find_evaluation(str(folder))
        precision = precision or judged_precision(evaluation)
        loaded = tf.saved_model.load(str(folder))
        if SIGNATURES[precision] not in loaded.signatures:
            _log.warning("%s was exported without %s and computes in float32", version_uri, precision)
            precision = "float32"
        model = ServedModel(version_uri, trained, thresholds, precision, evaluation, loaded)
        if precision == "bfloat16" and not (multiplies_bfloat16() or tf.config.list_physical_devices("GPU")):
            _log.warning("this processor has no units for bfloat16: --precision float32 is faster here")
        model.classify(np.zeros((batch_size, trained.image_size_px, trained.image_size_px, len(trained.channels)), np.uint8))
    except (tf.errors.OpError, FileNotFoundError, ValueError) as error:
        raise OSError(f"{version_uri} cannot be used: `python -m pipeline models verify` may say why. {error}") from None
    return model


def _tensor(pixels: np.ndarray) -> Any:
    import tensorflow as tf  # noqa: PLC0415 (loaded with the model)

    return tf.constant(pixels)
