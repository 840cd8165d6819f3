"""Small real files for the tests of the steps."""

import csv
import gzip
import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

from components import storage
from components.artifacts.labels import FILTERS
from components.artifacts.manifest import MODEL_MANIFEST, SAMPLES, Evaluation, Examples, Shard, TrainedModel
from components.artifacts.tfrecord import RecordWriter, encode_example, frame_record
from components.serving.champion import find_champion

# No deadline, because the duration of an example depends on the machine. The examples are the same in every run.
hypothesis.settings.register_profile("no deadline", deadline=None, derandomize=True)
hypothesis.settings.load_profile("no deadline")

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
MakeFolder = Callable[..., Path]
MakeModel = Callable[[str], Path]


def blessing(fingerprint: str = "e", generation: str = "", thresholds: Sequence[float] = (0.5, 0.5)) -> Evaluation:
    """An evaluation that blesses a model.

    Args:
        fingerprint: The evaluation's own fingerprint.
        generation: The generation of the champion's pointer when the model was judged.
        thresholds: One per class.
    """
    return Evaluation(
        fingerprint=fingerprint,
        inputs={},
        parameters={},
        source="dir:cells",
        licence="none",
        model_fingerprint="m",
        judged_on="test",
        num_samples=300,
        num_groups=300,
        threshold_method="one threshold",
        thresholds=list(thresholds),
        blessed=True,
        verdict="yes",
        reasons=[],
        champion_generation=generation,
        metrics={"f1_macro": 0.4, "f1_macro_baseline": 0.1},
        validation_metrics={},
        baselines={},
        references={},
    )


def champion_generation(serving_root: str) -> str:
    """The generation of the pointer to the champion of the model `hpa`; empty without a champion."""
    champion = find_champion(serving_root, "hpa")
    return champion.generation if champion else ""


def arithmetic_pixels(seed: int) -> np.ndarray:
    """16 x 16 pixels by plain arithmetic, which do not depend on installed libraries."""
    row, column = np.indices((16, 16))
    return ((row * 37 + column * 11 + row * column * 5 + seed * 29) % 256).astype(np.uint8)


@pytest.fixture
def mlflow_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run in an MLflow file store, to which the environment variables point."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds, which other tests should not)

    client = MlflowClient()
    run_id: str = client.create_run(client.create_experiment("cells")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


@pytest.fixture(scope="session")
def publish_examples() -> Callable[..., Examples]:
    """Publishes TFRecords with their table: `shards` has the samples of each shard of each split, as (id, pixels, labels)."""

    def publish(
        folder: Path,
        shards: Mapping[str, Sequence[Sequence[tuple[str, np.ndarray, list[int]]]]],
        class_names: Sequence[str],
        groups: Mapping[str, str] | None = None,
        **fields: object,
    ) -> Examples:
        folder.mkdir(parents=True)
        written: dict[str, list[Shard]] = {split: [] for split in shards}
        side_px = 0
        table: list[list[object]] = [["id", "split", "shard", "offset", "group", "labels"]]
        for split, of_split in shards.items():
            for number, samples in enumerate(of_split):
                name = f"{split}-{number:05d}-of-{len(of_split):05d}.tfrecord"
                with RecordWriter(folder / name) as writer:
                    for sample_id, pixels, labels in samples:
                        side_px = len(pixels)
                        offset = writer.write(frame_record(encode_example(sample_id, pixels, labels)))
                        group = (groups or {}).get(sample_id, sample_id)
                        table.append([sample_id, split, name, offset, group, " ".join(map(str, labels))])
                shard = Shard(name=name, num_records=writer.num_records, num_bytes=writer.num_bytes, crc32c=writer.crc32c)
                written[split].append(shard)
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(table)
        content: dict[str, object] = {
            "fingerprint": "examples0",
            "inputs": {},
            "parameters": {},
            "source": "dir:cells",
            "licence": "none",
            "image_size_px": side_px,
            "channels": ["red", "green", "blue"],
            "class_names": list(class_names),
            "shards": written,
            "num_quarantined": 0,
        }
        examples = Examples.model_validate(content | {"uri": str(folder), "attempt": "0"} | fields)
        storage.write_bytes(examples.file_uri(SAMPLES), gzip.compress(text.getvalue().encode()))
        return examples

    return publish


@pytest.fixture(scope="session")
def make_pixels() -> MakePixels:
    """Makes uint8 noise of shape (height, width), different for each seed."""

    def make(seed: int = 0, height_px: int = 128, width_px: int | None = None) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height_px, width_px or height_px), dtype=np.uint8)

    return make


@pytest.fixture(scope="session")
def make_png() -> MakePng:
    """Encodes pixels as cv2 does: greyscale or, with a third axis, blue, green and red."""

    def make(pixels: np.ndarray) -> bytes:
        encoded, data = cv2.imencode(".png", pixels)
        assert encoded
        return data.tobytes()

    return make


@pytest.fixture(scope="session")
def make_stored_png() -> MakePng:
    """Encodes small greyscale images without compression, so that the bytes do not depend on the installed libraries."""

    def make(pixels: np.ndarray) -> bytes:
        height, width = pixels.shape
        rows = b"".join(b"\0" + row.tobytes() for row in pixels)
        assert len(rows) < 1 << 16
        block = (
            b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows + struct.pack(">I", zlib.adler32(rows))
        )
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", block), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
        )

    return make


@pytest.fixture(scope="session")
def make_folder(make_pixels: MakePixels, make_png: MakePng) -> MakeFolder:
    """Makes a folder in the competition's layout: noise images, and train.csv with the given targets by id."""

    def make(
        folder: Path,
        targets: Mapping[str, str],
        side_px: int = 128,
        filters: Sequence[str] = FILTERS,
        encode: MakePng = make_png,
    ) -> Path:
        (folder / "train").mkdir(parents=True)
        (folder / "train.csv").write_text("Id,Target\n" + "".join(f"{name},{target}\n" for name, target in targets.items()))
        for sample_id in targets:
            for position, name in enumerate(filters):
                pixels = make_pixels(zlib.crc32(sample_id.encode()) + position, side_px)
                (folder / "train" / f"{sample_id}_{name}.png").write_bytes(encode(pixels))
        return folder

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model of two classes, whose files differ between fingerprints."""

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
