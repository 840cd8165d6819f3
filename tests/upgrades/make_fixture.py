"""Makes the fixture of a release: two small models that this version trains, judges, pushes and predicts with.

    python -m tests.upgrades.make_fixture outputs
    python -m tests.upgrades.make_fixture --collect outputs tests/upgrades/<version>

The first command must run in an empty folder and takes a minute; the second keeps the half megabyte that the tests read.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
from kfp import dsl

from components.convert.step import convert
from components.evaluate.step import evaluate
from components.ingest.step import ingest
from components.push.step import push
from components.serving.predict.prediction import predict
from components.synthetic.samples import render_sample
from components.train.model import BACKBONES, Backbone
from components.train.step import train

KEPT = ("serving/**/*", "images/*", "predictions_?.csv", "data/*/*/manifest.json", "data/raw/*/index/**/*")
_FILTERS = ("red", "green", "blue")


def small_backbone(include_top: bool, weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Stands in for InceptionResNetV2, whose weights take 210 MB."""
    assert (include_top, weights) == (False, None)
    pixels = keras.Input(input_shape)
    features = keras.layers.Conv2D(8, 5, strides=4, activation="relu")(pixels)
    return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=2, activation="relu")(features))


class Artifacts:
    """The artifacts of one run, as KFP passes them to the steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def __call__(self, **kinds: type[dsl.Artifact]) -> dict[str, dsl.Artifact]:
        """New output artifacts by name."""
        return {name: kind(name=name, uri=str(self.folder / name), metadata={}) for name, kind in kinds.items()}


def make_examples(source: str, data_root: str, artifacts: Artifacts) -> dict[str, dsl.Artifact]:
    """Runs ingest and convert."""
    raw = artifacts(raw_images=dsl.Dataset)
    ingest(source=source, data_root=data_root, **raw)
    made = artifacts(examples=dsl.Dataset, transform_graph=dsl.Artifact, data_report=dsl.HTML, quarantine=dsl.Dataset)
    convert(data_root=data_root, image_size_px=75, **raw, **made)
    return made


def evaluate_model(
    examples: dsl.Artifact, model: dsl.Artifact, data_root: str, serving_root: str, artifacts: Artifacts
) -> dict[str, dsl.Artifact]:
    """Runs evaluate, which blesses any model."""
    made = artifacts(
        metrics=dsl.Metrics,
        class_metrics=dsl.ClassificationMetrics,
        thresholds=dsl.Artifact,
        blessing=dsl.Artifact,
        evaluation_report=dsl.HTML,
    )
    places = {"data_root": data_root, "serving_root": serving_root}
    evaluate(examples=examples, model=model, blessing_min_gain=-1.0, blessing_max_class_drop=1.0, **places, **made)
    return made


def make(folder: Path) -> None:
    """Runs the steps twice, with two seeds, and predicts four images with each of the two versions."""
    BACKBONES["inception_resnet_v2"] = Backbone(small_backbone)
    data_root, serving_root = str(folder / "data"), str(folder / "serving")
    for seed in (0, 1):
        artifacts = Artifacts(folder / "artifacts" / str(seed))
        made = make_examples("synthetic:160", data_root, artifacts)
        trained = artifacts(model=dsl.Model, training_metrics=dsl.Metrics, training_report=dsl.HTML)
        train(
            examples=made["examples"],
            transform_graph=made["transform_graph"],
            data_root=data_root,
            serving_root=serving_root,
            weights="none",
            epochs=12,
            precision="float32",
            seed=seed,
            **trained,
        )
        judged = evaluate_model(made["examples"], trained["model"], data_root, serving_root, artifacts)
        push(
            model=trained["model"],
            thresholds=judged["thresholds"],
            blessing=judged["blessing"],
            serving_root=serving_root,
            **artifacts(pushed_model=dsl.Model),
        )
    _draw_images(folder / "images")
    for version in (1, 2):
        predict(f"{serving_root}/hpa/{version}", str(folder / "images"), str(folder / f"predictions_{version}.csv"))


def _draw_images(folder: Path) -> None:
    folder.mkdir()
    for number in range(200, 204):
        sample = render_sample(0, number)
        for name in _FILTERS:
            pixels = cv2.imdecode(np.frombuffer(sample.pngs[name], np.uint8), cv2.IMREAD_GRAYSCALE)
            small = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"cell{number}_{name}.png"), small)


def collect(folder: Path, fixture: Path) -> None:
    """Copies the files that the tests read."""
    for path in (path for pattern in KEPT for path in folder.glob(pattern) if path.is_file() and path.stat().st_size):
        kept = fixture / path.relative_to(folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="relative, so that no artifact names a path of this machine")
    parser.add_argument("fixture", type=Path, nargs="?")
    parser.add_argument("--collect", action="store_true")
    options = parser.parse_args()
    if options.collect:
        collect(options.folder, options.fixture)
    else:
        make(options.folder)
