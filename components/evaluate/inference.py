"""Runs exported models on the examples, exactly as they are served."""

import math
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.damage import naming
from components.artifacts.examples import ExampleReader
from components.artifacts.manifest import ACTIVATION_MAPS, SIGNATURES
from components.evaluate.metrics import Scores
from components.runtime.processor import multiplies_bfloat16
from components.runtime.progress import progress_bar

_BATCH_SIZE = 32
_MAX_COMPARED = 1000


class LoadedModel:
    """A loaded SavedModel."""

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        """Loads a model.

        Args:
            folder: The SavedModel.
            precision: The precision of its computations: `float32` or `bfloat16`.

        Raises:
            DamagedFileError: If it cannot be loaded.
            ValueError: If it cannot compute in that precision.
        """
        with naming(str(folder), "a SavedModel", more=(tf.errors.OpError, OSError)):
            self._model = tf.saved_model.load(str(folder))
        if not self.computes_in(precision):
            raise ValueError(f"serving_precision: the model cannot compute in {precision}: train it again, or choose float32")
        self._precision = precision

    def computes_in(self, precision: str) -> bool:
        """Whether the model was exported for a precision."""
        return SIGNATURES[precision] in self._model.signatures

    def score(self, examples: ExampleReader) -> Scores:
        """Scores all examples of a split."""
        signature = self._model.signatures[SIGNATURES[self._precision]]
        answers = [np.zeros(examples.labels.shape, np.float32)[:0]]
        distances = []
        with progress_bar(len(examples), "images") as progress:
            for pixels in examples.batches(_BATCH_SIZE):
                answer = signature(pixels=tf.constant(pixels))
                answers.append(answer["probabilities"].numpy())
                distances += [answer["distances"].numpy()] if "distances" in answer else []
                progress.update(len(pixels))
        given = np.concatenate(answers)
        # NaN is never above a threshold, so it counts as a negative, as it does when served.
        y_score = np.clip(np.nan_to_num(given, nan=0.0), 0, 1)
        num_invalid = int((given != y_score).sum())
        return Scores(examples.ids, examples.labels, y_score, num_invalid, np.concatenate(distances) if distances else None)

    def differing_decisions(self, examples: ExampleReader, judged: Scores, thresholds: np.ndarray) -> float | None:
        """The share of decisions that differ in the other precision, over the first 1,000 examples.

        Args:
            examples: What to decide about.
            judged: The result of `score` for them.
            thresholds: float32, shape (classes,).

        Returns:
            The share; None if the model lacks the other precision, or bfloat16 would be slow on this machine.
        """
        (other,) = SIGNATURES.keys() - {self._precision}
        is_fast = multiplies_bfloat16() or tf.config.list_physical_devices("GPU")
        if not (is_fast and self.computes_in(other)):
            return None
        signature = self._model.signatures[SIGNATURES[other]]
        batches = islice(examples.batches(_BATCH_SIZE), math.ceil(_MAX_COMPARED / _BATCH_SIZE))
        given = np.concatenate([signature(pixels=tf.constant(pixels))["probabilities"].numpy() for pixels in batches])
        return float(((given >= thresholds) != (judged.y_score[: len(given)] >= thresholds)).mean())

    def activation_maps(self, pixels: np.ndarray) -> np.ndarray | None:
        """The class activation maps of some images.

        Args:
            pixels: uint8, shape (images, height, width, channels).

        Returns:
            float32, shape (images, map height, map width, classes), with 0 for NaN; None if the model has no maps.
        """
        if ACTIVATION_MAPS not in self._model.signatures:
            return None
        signature = self._model.signatures[ACTIVATION_MAPS]
        parts = [pixels[start : start + _BATCH_SIZE] for start in range(0, len(pixels), _BATCH_SIZE)]
        return np.nan_to_num(np.concatenate([signature(pixels=tf.constant(part))["maps"].numpy() for part in parts]))
