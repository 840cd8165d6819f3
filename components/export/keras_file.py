"""A `.keras` file: `keras.saving.load_model` opens it on any of Keras's backends."""

import zipfile
from pathlib import Path

import keras
import numpy as np

from components.export.model import ExportedModel

SUFFIX = ".keras"


def write(model: ExportedModel, path: Path) -> None:
    """Writes the network, and the model card as `README.md` beside it in the archive."""
    model.network.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.md", model.card())


def run(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Opens a file and classifies images.

    Args:
        path: The file.
        pixels: float32, shape (images, height, width, channels).

    Returns:
        float32, shape (images, classes).
    """
    return np.asarray(keras.saving.load_model(path)(pixels))
