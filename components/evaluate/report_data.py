"""The content of the evaluation report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.artifacts.manifest import Evaluation, Examples, TrainedModel
from components.evaluate.blessing import Verdict
from components.evaluate.comparison import Comparison
from components.evaluate.confusions import Confusion
from components.evaluate.metrics import ClassScore
from components.evaluate.thresholds import FittedThresholds


@dataclass(frozen=True)
class Picture:
    """An image that the report shows for a class.

    Attributes:
        label: The class index.
        kind: The kind of example: see `components.evaluate.pictures`.
        position: Its position among the judged samples.
        jpeg: The image, and beside it the activation map of the class if the model gives one.
    """

    label: int
    kind: str
    position: int
    jpeg: bytes


@dataclass(frozen=True)
class Pictures:
    """The images of the report, and the size of activation maps, such as `8 x 8`; empty if there are no maps."""

    pictures: Sequence[Picture]
    map_size: str


@dataclass(frozen=True)
class ReportData:
    """All that the evaluation report shows.

    Attributes:
        evaluation: The figures and the verdict.
        verdict: The outcome of each rule.
        trained: The model's manifest.
        examples: The manifest of the examples.
        ids: The judged samples.
        y_true: bool, shape (samples, classes).
        y_score: The model's probabilities, the same shape.
        y_pred: Its decisions, the same shape.
        classes: The figures of each class.
        confusions: The classes that are mistaken for others.
        thresholds: The fitted thresholds, with the evidence for them.
        comparison: Champion against challenger, if there is a champion.
        pictures: The images.
    """

    evaluation: Evaluation
    verdict: Verdict
    trained: TrainedModel
    examples: Examples
    ids: Sequence[str]
    y_true: np.ndarray
    y_score: np.ndarray
    y_pred: np.ndarray
    classes: Sequence[ClassScore]
    confusions: Sequence[Confusion]
    thresholds: FittedThresholds
    comparison: Comparison | None
    pictures: Pictures

    @property
    def class_names(self) -> list[str]:
        """The class names in the order of their indices."""
        return self.examples.class_names
