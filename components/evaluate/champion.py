"""The model that is served now: what it ships with, and whether it can be asked about these examples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.shared import storage
from components.shared.champion import Champion
from components.shared.manifest import MODEL_MANIFEST, MODEL_THRESHOLDS, MODEL_TRAINING_IDS, Examples, TrainedModel


@dataclass(frozen=True)
class ServedChampion:
    """What the champion's folder says of it.

    Attributes:
        version: Its number.
        uri: The SavedModel.
        trained: Its manifest.
        thresholds: What it ships with: float32, shape (classes,).
        training_ids: The samples that it was trained on.
    """

    version: int
    uri: str
    trained: TrainedModel
    thresholds: np.ndarray
    training_ids: frozenset[str]

    def obstacle(self, examples: Examples) -> str:
        """What keeps it from being asked about these examples, in words; empty where nothing does."""
        differing = [
            f"its {words} are {_short(theirs)}, and those of the examples {_short(ours)}"
            for words, theirs, ours in (
                ("classes", self.trained.class_names, examples.class_names),
                ("channels", self.trained.channels, examples.channels),
                ("pixels a side", self.trained.image_size_px, examples.image_size_px),
            )
            if theirs != ours
        ]
        return "; ".join(differing)

    def fetch(self, folder: Path) -> Path:
        """Gives the SavedModel to a local folder."""
        storage.fetch_tree(self.uri, folder)
        return folder


def read_champion(champion: Champion) -> ServedChampion:
    """Reads what the champion's folder says, without the model itself.

    Raises:
        FileNotFoundError: If the pointer leads to a folder that is not whole.
    """
    if missing := [
        name for name in (MODEL_MANIFEST, MODEL_THRESHOLDS, MODEL_TRAINING_IDS) if not storage.exists(_file(champion, name))
    ]:
        raise FileNotFoundError(
            f"{champion.uri}: the champion (version {champion.version}) lacks {', '.join(missing)}. "
            "Restore the folder, or make another version the champion"
        )
    thresholds = storage.read_bytes(_file(champion, MODEL_THRESHOLDS)).decode().split()
    return ServedChampion(
        version=champion.version,
        uri=champion.uri,
        trained=TrainedModel.read(_file(champion, MODEL_MANIFEST)),
        thresholds=np.array([float(number) for number in thresholds], np.float32),
        training_ids=frozenset(storage.read_bytes(_file(champion, MODEL_TRAINING_IDS)).decode().splitlines()),
    )


def _file(champion: Champion, name: str) -> str:
    return storage.join(champion.uri, name)


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
