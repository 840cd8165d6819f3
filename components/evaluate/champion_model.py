"""The served champion: its files, and whether it can be evaluated on these examples.

Its folder is verified first. A problem becomes a reason in the verdict and does not stop the step.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from components import storage
from components.artifacts.examples import ExampleReader
from components.artifacts.manifest import MODEL_MANIFEST, MODEL_THRESHOLDS, MODEL_TRAINING_IDS, Examples, TrainedModel
from components.evaluate.inference import LoadedModel
from components.evaluate.metrics import Scores
from components.runtime.wording import shorten
from components.serving.champion import Champion
from components.serving.model import find_evaluation, judged_precision
from components.serving.versions import DONE_MARK, RECORD, Record, describe, find_damage

_ADVICE = "`python -m pipeline models verify` lists all problems, `models rollback` makes another version the champion"
_NEEDED = (DONE_MARK, MODEL_MANIFEST, MODEL_THRESHOLDS, MODEL_TRAINING_IDS)


class DamagedChampionError(ValueError):
    """The champion cannot be evaluated, because its files are missing or damaged. The message says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} ({_ADVICE})")


@dataclass(frozen=True)
class ServedChampion:
    """The content of the champion's folder.

    Attributes:
        version: Its number.
        folder: A local copy of its SavedModel.
        trained: Its manifest.
        thresholds: Its thresholds: float32, shape (classes,).
        training_ids: The samples that it was trained on.
        precision: The precision of its predictions.
        is_verified: Whether its files were verified with the record of the push.
    """

    version: int
    folder: Path
    trained: TrainedModel
    thresholds: np.ndarray
    training_ids: frozenset[str]
    precision: str
    is_verified: bool

    def obstacle(self, examples: Examples) -> str:
        """Why it cannot be evaluated on these examples; empty if it can."""
        differing = [
            f"its {words} are {shorten(theirs)}, but those of the examples are {shorten(ours)}"
            for words, theirs, ours in (
                ("classes", self.trained.class_names, examples.class_names),
                ("channels", self.trained.channels, examples.channels),
                ("pixels per side", self.trained.image_size_px, examples.image_size_px),
                ("grey levels", self.trained.intensity_range or "8 bits", examples.intensity_range or "8 bits"),
            )
            if theirs != ours
        ]
        return "; ".join(differing)

    def score(self, examples: ExampleReader) -> Scores:
        """Scores all examples of a split.

        Raises:
            DamagedChampionError: If it cannot be loaded, or its outputs are not probabilities.
        """
        try:
            said = LoadedModel(self.folder, self.precision).score(examples)
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise DamagedChampionError(f"it cannot be run: {shorten(error)}") from None
        if said.num_invalid:
            raise DamagedChampionError(f"{said.num_invalid} of its {said.y_score.size} outputs are not numbers from 0 to 1")
        return said


def read_champion(champion: Champion, folder: Path) -> ServedChampion:
    """Copies the champion to a local folder, and verifies and reads the copy.

    A champion that was placed by hand has no record of its files, and is not verified.

    Raises:
        DamagedChampionError: If its files are missing or damaged.
    """
    try:
        storage.fetch_tree(champion.uri, folder)
    except FileNotFoundError as error:  # removed concurrently
        raise DamagedChampionError(f"its files are missing: {error}") from None
    record = _read_record(folder)
    missing = {name: "is missing" for name in _NEEDED if not (folder / name).is_file()}
    if damage := missing | (find_damage(str(folder), record, record.files) if record else {}):
        raise DamagedChampionError(f"in {champion.uri}, {describe(damage)}")
    try:
        trained = TrainedModel.read(str(folder / MODEL_MANIFEST))
        texts = (folder / MODEL_THRESHOLDS).read_text(encoding="utf-8").split()
        thresholds = np.array([float(text) for text in texts], np.float32)
        ids = (folder / MODEL_TRAINING_IDS).read_text(encoding="utf-8").splitlines()
        evaluation = find_evaluation(str(folder))
    except ValueError as error:
        raise DamagedChampionError(f"in {champion.uri}, {shorten(error)}") from None
    if thresholds.shape != (len(trained.class_names),) or not np.isfinite(thresholds).all():
        raise DamagedChampionError(f"its thresholds are {shorten(texts)}, not one number for each of its classes")
    precision = judged_precision(evaluation)
    return ServedChampion(champion.version, folder, trained, thresholds, frozenset(ids), precision, record is not None)


def _read_record(folder: Path) -> Record | None:
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return Record.read(str(path))
    except ValueError:
        raise DamagedChampionError("its record of checksums is damaged") from None
