"""Runs exported models, which are what is served, over the examples."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.evaluate.metrics import Scores
from components.runtime.progress import progress_bar

_BATCH_SIZE = 32
_MAPS = "activation_maps"


class ExportedModel:
    """A loaded SavedModel."""

    def __init__(self, folder: Path) -> None:
        self._model = tf.saved_model.load(str(folder))

    def score(self, examples: ExampleReader) -> Scores:
        """Scores all examples of a split."""
        answers = [np.zeros(examples.labels.shape, np.float32)[:0]]
        distances = []
        with progress_bar(len(examples), "images") as progress:
            for pixels in examples.batches(_BATCH_SIZE):
                answer = self._model.signatures["pixels"](pixels=tf.constant(pixels))
                answers.append(answer["probabilities"].numpy())
                distances += [answer["distances"].numpy()] if "distances" in answer else []
                progress.update(len(pixels))
        given = np.concatenate(answers)
        # NaN is never above a threshold: it is served as a no, and counts as one.
        y_score = np.clip(np.nan_to_num(given, nan=0.0), 0, 1)
        num_invalid = int((given != y_score).sum())
        return Scores(examples.ids, examples.labels, y_score, num_invalid, np.concatenate(distances) if distances else None)

    def activation_maps(self, pixels: np.ndarray) -> np.ndarray | None:
        """The class activation maps of some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).

        Returns:
            float32, shape (images, map height, map width, classes), 0 where it is no number; None where the model gives no
            maps.
        """
        if _MAPS not in self._model.signatures:
            return None
        signature = self._model.signatures[_MAPS]
        parts = [pixels[start : start + _BATCH_SIZE] for start in range(0, len(pixels), _BATCH_SIZE)]
        return np.nan_to_num(np.concatenate([signature(pixels=tf.constant(part))["maps"].numpy() for part in parts]))
