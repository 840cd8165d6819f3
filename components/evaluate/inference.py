"""Runs the exported model, which is what will be served, over the examples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.shared.manifest import Examples
from components.shared.progress import progress_bar
from components.shared.records import read_split

_BATCH_SIZE = 32


@dataclass(frozen=True)
class Scores:
    """What a model says of one side of the split.

    Attributes:
        ids: The samples.
        y_true: Whether each class is there: bool, shape (samples, classes).
        y_score: The model's probabilities: float32, the same shape.
    """

    ids: list[str]
    y_true: np.ndarray
    y_score: np.ndarray


def score_examples(model_dir: Path, examples: Examples, splits: list[str]) -> dict[str, Scores]:
    """Scores all examples of some sides of the split.

    Args:
        model_dir: The SavedModel.
        examples: The records.
        splits: Which sides.
    """
    model = tf.saved_model.load(str(model_dir))
    with progress_bar(sum(examples.num_records(split) for split in splits), "images") as progress:
        return {split: _score(model, examples, split, progress) for split in splits}


def _score(model: tf.Module, examples: Examples, split: str, progress: Any) -> Scores:
    num_classes = len(examples.class_names)
    ids: list[str] = []
    y_true, y_score = [np.zeros((0, num_classes), bool)], [np.zeros((0, num_classes), np.float32)]
    for batch in read_split(examples, split).batch(_BATCH_SIZE).prefetch(tf.data.AUTOTUNE):
        ids += [sample_id.decode() for sample_id in batch["id"].numpy()]
        y_true.append(batch["labels"].numpy() > 0)
        y_score.append(model.signatures["pixels"](pixels=batch["pixels"])["probabilities"].numpy())
        progress.update(len(batch["id"]))
    return Scores(ids, np.concatenate(y_true), np.concatenate(y_score))
