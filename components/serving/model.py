"""A served model: which it is, what it was trained on, and what it says of images."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components import storage
from components.artifacts.manifest import MODEL_MANIFEST, MODEL_THRESHOLDS, TrainedModel
from components.serving.champion import find_champion
from components.serving.versions import DONE_MARK

_MAPS = "activation_maps"


@dataclass(frozen=True)
class ServedModel:
    """A loaded version.

    Attributes:
        uri: The version's folder.
        trained: Its manifest.
        thresholds: float32, shape (classes,): a class is decided for at or above its threshold.
    """

    uri: str
    trained: TrainedModel
    thresholds: np.ndarray
    _model: Any

    @property
    def version(self) -> str:
        """The name of the version's folder: its number."""
        return self.uri.rstrip("/").rpartition("/")[2]

    def classify(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classifies some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).

        Returns:
            The probabilities, float32, and the decisions, bool, both of shape (images, classes).
        """
        answer = self._model.signatures["pixels"](pixels=_tensor(pixels))
        return answer["probabilities"].numpy(), answer["decisions"].numpy()

    def activation_maps(self, pixels: np.ndarray) -> np.ndarray | None:
        """The class activation maps of some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).

        Returns:
            float32, shape (images, map height, map width, classes), with 0 in place of NaN; None if the model has no such
            signature, or if its maps have a single place, which shows nothing.
        """
        if _MAPS not in self._model.signatures:
            return None
        maps = self._model.signatures[_MAPS](pixels=_tensor(pixels))["maps"].numpy()
        return None if maps.shape[1] * maps.shape[2] == 1 else np.nan_to_num(maps)

    def weights(self) -> list[np.ndarray]:
        """The variables of the network, in its order."""
        return [variable.numpy() for variable in self._model.variables_]

    def normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the variance by which the network normalises grey levels, float32 of shape (channels,).

        They are no variables: Keras makes them constants, which the graph captures under the names of what they are used in.
        """
        captures = self._model.classify.concrete_functions[0].graph.captures

        def constant(role: str) -> np.ndarray:
            pattern = re.compile(rf"(^|_)(?<!batch_)normalization(_\d+)?_{role}:0")
            return next(value for value, place in captures if pattern.search(place.name)).numpy().ravel()

        return constant("sub_y"), constant("sqrt_x")


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


def read_manifest(version_uri: str) -> TrainedModel:
    """The manifest of a version, which is read without TensorFlow.

    Raises:
        FileNotFoundError: If the version has none.
    """
    try:
        return TrainedModel.read(storage.join(version_uri, MODEL_MANIFEST))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{version_uri} is no model of this pipeline: expected {MODEL_MANIFEST} in it, which push writes. "
            f"Received: {DONE_MARK} without it. Name a version below <serving_root>/<model_name>"
        ) from None


def load_model(version_uri: str, trained: TrainedModel, batch_size: int, folder: Path) -> ServedModel:
    """Loads a version, and calls it once: TensorFlow plans on the first call, which takes seconds.

    Args:
        version_uri: The SavedModel.
        trained: Its manifest.
        batch_size: How many images it will be given at once.
        folder: An empty folder for a copy of a model that is not on this machine. It must outlive the model.

    Raises:
        OSError: If it cannot be loaded.
    """
    import tensorflow as tf  # noqa: PLC0415 (seconds in which images are decoded already, or an error has been found)

    if storage.is_local(version_uri):
        folder = Path(version_uri)
    else:
        storage.fetch_tree(version_uri, folder)
    try:
        thresholds = np.loadtxt(folder / MODEL_THRESHOLDS, np.float32, ndmin=1)
        model = ServedModel(version_uri, trained, thresholds, tf.saved_model.load(str(folder)))
        model.classify(np.zeros((batch_size, trained.image_size_px, trained.image_size_px, len(trained.channels)), np.uint8))
    except (tf.errors.OpError, FileNotFoundError, ValueError) as error:
        raise OSError(f"{version_uri} cannot be used: `python -m pipeline models verify` may tell why. {error}") from None
    return model


def _tensor(pixels: np.ndarray) -> Any:
    import tensorflow as tf  # noqa: PLC0415 (loaded with the model)

    return tf.constant(pixels)
