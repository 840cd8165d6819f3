"""Models to push: files in a SavedModel's layout, as push reads no TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.shared.manifest import MODEL_MANIFEST, TrainedModel

MakeModel = Callable[[str], Path]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model of two classes, whose files differ from those of any other fingerprint."""

    def make(fingerprint: str) -> Path:
        folder = tmp_path / "models" / fingerprint
        manifest = TrainedModel(
            fingerprint=fingerprint,
            inputs={},
            parameters={},
            source="test",
            licence="none",
            class_names=["a", "b"],
            channels=["red"],
            image_size_px=75,
            epochs_trained=1,
            best_epoch=1,
            metrics={},
        )
        for name, content in {
            "saved_model.pb": b"graph " + fingerprint.encode(),
            "variables/variables.index": b"index",
            "variables/variables.data-00000-of-00001": fingerprint.encode() * 1000,
            "assets/thresholds.csv": b"0.5\n0.5\n",
            "assets/classes.csv": b"a\nb\n",
            MODEL_MANIFEST: manifest.to_json(),
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder

    return make
