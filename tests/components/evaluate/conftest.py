"""Examples that encode their classes in the pixels, and hand-made models that decode them well, badly or in part."""

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components import storage
from components.artifacts.manifest import MODEL_MANIFEST, Examples, TrainedModel
from components.serving.champion import Champion
from components.serving.versions import RECORD, Record

SIDE_PX = 8
CLASS_NAMES = ["Nucleus", "Cytosol", "Vesicles", "Rods & rings", "Aggresome", "Mitochondria"]
SIZES = {"train": 20, "validation": 120, "test": 120}

MakeExamples = Callable[..., Examples]
MakeModel = Callable[..., Path]
MakeChampion = Callable[..., Champion]


def draw(number: int, num_classes: int) -> tuple[np.ndarray, list[int]]:
    """An image that encodes its classes: the row of a present class is bright, and noise makes some rows ambiguous."""
    random = np.random.default_rng(number)
    labels = sorted(random.choice(num_classes, size=random.integers(1, 3), replace=False).tolist())
    pixels = random.integers(0, 90, (SIDE_PX, SIDE_PX, 3))
    pixels[labels] += 100
    return pixels.astype(np.uint8), labels


@pytest.fixture(scope="session")
def make_examples(publish_examples: MakeExamples) -> MakeExamples:
    """Publishes examples in one shard for each split."""

    def make(
        folder: Path, sizes: dict[str, int] | None = None, groups: dict[str, str] | None = None, image_size_px: int = SIDE_PX
    ) -> Examples:
        numbers = count()
        samples = {
            split: [(f"{split}-{number:03d}", *draw(next(numbers), len(CLASS_NAMES))) for number in range(size)]
            for split, size in (sizes or SIZES).items()
        }
        return publish_examples(
            folder / "examples" / "e",
            {split: [of_split] if of_split else [] for split, of_split in samples.items()},
            CLASS_NAMES,
            groups,
            parameters={"split": "grouped"},
            licence="CC BY-SA. Image credit: Human Protein Atlas",
            image_size_px=image_size_px,
            num_quarantined=3,
        )

    return make


class _HandMade(tf.Module):  # type: ignore[misc]
    """Reads the known classes from the rows' brightness, and gives the same output for all other classes.

    With `says_nan`, the output for the first class of a bright image is NaN. With `is_coarse`, probabilities are multiples of
    1/64, which are the same on every processor.
    """

    def __init__(self, known: Collection[int], num_classes: int, asset: Path, says_nan: bool, is_coarse: bool) -> None:
        super().__init__()
        self.thresholds = tf.saved_model.Asset(str(asset))
        sees = tf.constant([float(k in known) for k in range(num_classes)])

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")])
        def score(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[2, 3])[:, :num_classes]
            found = tf.sigmoid(sees * (rows - 95.0) / 10.0 - (1 - sees) * 2.0)
            if is_coarse:
                found = tf.round(found * 64.0) / 64.0
            is_spoilt = (rows > 130.0) & (tf.range(num_classes) == 0) & says_nan
            return {"probabilities": tf.where(is_spoilt, float("nan"), found)}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")])
        def score_rounded(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            brightness = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=[1, 2, 3])
            rounded = tf.cast(tf.cast(score(pixels)["probabilities"], tf.bfloat16), tf.float32)
            return {"probabilities": rounded, "distances": brightness / 50.0}

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")])
        def maps(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            brightness = tf.reduce_mean(tf.cast(pixels, tf.float32), axis=3, keepdims=True)
            return {"maps": tf.repeat(brightness / 100.0 - 1.0, num_classes, axis=3)}

        self.score, self.score_rounded, self.maps = score, score_rounded, maps


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """Writes a SavedModel with its manifest."""

    def make(
        folder: Path,
        fingerprint: str = "model0",
        known: Sequence[int] = range(len(CLASS_NAMES)),
        class_names: Sequence[str] = CLASS_NAMES,
        training_ids: Sequence[str] = ("train-000",),
        thresholds: Sequence[float] = (0.5,) * len(CLASS_NAMES),
        image_size_px: int = SIDE_PX,
        with_maps: bool = True,
        says_nan: bool = False,
        is_coarse: bool = False,
        with_bfloat16: bool = False,
        usual_distances: Mapping[str, float] | None = None,
    ) -> Path:
        with tempfile.TemporaryDirectory() as asset_dir:
            asset = Path(asset_dir) / "thresholds.csv"
            asset.write_text("".join(f"{value!r}\n" for value in thresholds))
            module = _HandMade(known, len(class_names), asset, says_nan, is_coarse)
            signatures = {"pixels": module.score} | ({"activation_maps": module.maps} if with_maps else {})
            signatures |= {"pixels_bfloat16": module.score_rounded} if with_bfloat16 else {}
            tf.saved_model.save(module, str(folder), signatures=signatures)
        manifest = TrainedModel(
            fingerprint=fingerprint,
            inputs={},
            parameters={"recipe": "paper", "epochs": 7},
            source="dir:cells",
            licence="CC BY-SA. Image credit: Human Protein Atlas",
            class_names=list(class_names),
            channels=["red", "green", "blue"],
            image_size_px=image_size_px,
            epochs_trained=7,
            best_epoch=5,
            usual_distances=usual_distances or {},
            metrics={},
        )
        (folder / MODEL_MANIFEST).parent.mkdir()
        (folder / MODEL_MANIFEST).write_bytes(manifest.to_json())
        (folder / "assets.extra" / "training_ids.txt").write_text("".join(f"{name}\n" for name in training_ids))
        return folder

    return make


@pytest.fixture(scope="session")
def make_champion(make_model: MakeModel) -> MakeChampion:
    """Makes a model the champion of a serving root, with its pointer and the record that push writes."""

    def make(serving_root: Path, version: int = 3, evaluation: str = "evaluation0", **options: object) -> Champion:
        folder = make_model(serving_root / "hpa" / str(version), **{"fingerprint": "champion0", **options})
        fingerprint = TrainedModel.read(str(folder / MODEL_MANIFEST)).fingerprint
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        record = Record(
            model_fingerprint=fingerprint,
            evaluation_fingerprint=evaluation,
            champion_generation="",
            files={name: storage.file_crc32c(path) for name, path in sorted(files.items())},
        )
        (folder / RECORD).write_bytes(record.to_json())
        pointer = {"version": version, "model_fingerprint": fingerprint, "evaluation_fingerprint": evaluation}
        (serving_root / "hpa" / "champion.json").write_text(json.dumps(pointer))
        return Champion(uri=str(folder), generation="g", **pointer)

    return make
