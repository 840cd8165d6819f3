"""Runs exported models, which is what is served, over the examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.manifest import Examples
from components.artifacts.records import read_split
from components.evaluate.scores import Scores
from components.runtime.progress import progress_bar

_BATCH_SIZE = 32
_MAPS = "activation_maps"


class ExportedModel:
    """A loaded SavedModel."""

    def __init__(self, folder: Path) -> None:
        self._model = tf.saved_model.load(str(folder))

    def score(self, examples: Examples, splits: Sequence[str]) -> dict[str, Scores]:
        """Scores all examples of some sides of the split."""
        with progress_bar(sum(examples.num_records(split) for split in splits), "images") as progress:
            return {split: self._score_split(examples, split, progress.update) for split in splits}

    def _score_split(self, examples: Examples, split: str, report: Callable[[int], object]) -> Scores:
        num_classes = len(examples.class_names)
        ids: list[str] = []
        y_true, y_score = [np.zeros((0, num_classes), bool)], [np.zeros((0, num_classes), np.float32)]
        for batch in read_split(examples, split).batch(_BATCH_SIZE).prefetch(tf.data.AUTOTUNE):
            ids += [sample_id.decode() for sample_id in batch["id"].numpy()]
            y_true.append(batch["labels"].numpy() > 0)
            y_score.append(self._model.signatures["pixels"](pixels=batch["pixels"])["probabilities"].numpy())
            report(len(batch["id"]))
        answers = np.concatenate(y_score)
        # Not a number is never above a threshold: it is served as a no, and counts as one.
        probabilities = np.clip(np.nan_to_num(answers, nan=0.0), 0, 1)
        return Scores(ids, np.concatenate(y_true), probabilities, int((answers != probabilities).sum()))

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
