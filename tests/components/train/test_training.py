"""From examples to a published model, with a small network; the real one is trained in tests/pipeline."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from mlflow import MlflowClient

from components.artifacts.examples import ExampleReader
from components.artifacts.manifest import MODEL_MANIFEST, MODEL_TRAINING_IDS, SIGNATURES, Examples, TrainedModel
from components.images.decode import sample_pixels
from components.serving.champion import Champion
from components.synthetic.samples import render_sample
from components.train import training
from components.train.model import BACKBONES, Backbone, build_model
from components.train.recipes import RECIPES
from components.train.settings import MODEL, TrainSettings
from components.train.warm_start import _read_variables

FILTERS = ("red", "green", "blue")

RECIPE = replace(RECIPES["strong"], epochs=2, batch_size=16, learning_rate=0.01)


def _small(include_top: bool, weights: str | None, input_shape: tuple[int | None, int | None, int]) -> keras.Model:
    """Replaces InceptionResNetV2."""
    assert (include_top, weights) == (False, None)
    pixels = keras.Input(input_shape)
    return keras.Model(pixels, keras.layers.Conv2D(8, 3, strides=2, activation="relu")(pixels))


@pytest.fixture(scope="module")
def trained(examples: Examples, transform_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, RECIPE.backbone, Backbone(_small))
        settings = TrainSettings("strong", RECIPE, "none", seed=3)
        data_root = str(tmp_path_factory.mktemp("data"))
        model = training.train_model(examples, transform_graph, data_root, settings)
        assert settings.find(examples, data_root) == model
    return model


def test_the_constants_of_the_transform_graph_are_those_of_the_training_images(
    splits: dict[str, ExampleReader], transform_graph: Path
) -> None:
    (pixels,) = splits["train"].batches(1000)
    constants = training.read_constants(transform_graph)
    assert np.allclose(constants["channel_mean"], pixels.mean(axis=(0, 1, 2)), rtol=1e-5)
    assert np.allclose(constants["channel_std"], pixels.std(axis=(0, 1, 2)), rtol=1e-4)
    assert np.array_equal(constants["class_counts"], splits["train"].labels.sum(axis=0))


def test_a_finished_training_is_published_with_its_curves_and_ids(
    trained: TrainedModel, splits: dict[str, ExampleReader]
) -> None:
    shares = splits["train"].labels.mean(axis=0)
    assert list(trained.class_frequencies.values()) == pytest.approx(shares.tolist())
    assert trained.epochs_trained == 2
    expected = {"loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "val_accuracy_all_negative", "learning_rate"}
    assert trained.metrics.keys() == expected
    curves = json.loads(Path(trained.file_uri("history.json")).read_text())["curves"]
    assert len(curves["val_loss"]) == 2
    assert len(list(Path(trained.uri, "logs").glob("events.out.tfevents.*"))) == 2
    ids = Path(trained.file_uri(MODEL, "assets.extra", "training_ids.txt")).read_text().split()
    assert ids == [f"sample-{number:03d}" for number in range(96)]
    assert TrainedModel.read(trained.file_uri(MODEL, MODEL_MANIFEST)).fingerprint == trained.fingerprint
    root = trained.uri.partition("/training/")[0].encode()
    model_files = [path for path in Path(trained.file_uri(MODEL)).rglob("*") if path.is_file()]
    assert [path for path in model_files if root in path.read_bytes()] == []
    assert "<svg" not in Path(trained.file_uri("training_report.html")).read_text()  # pictures are embedded as files


def test_random_numbers_that_retries_draw_do_not_change_the_model(
    trained: TrainedModel, examples: Examples, transform_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw_before(act: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (random.random(), act(*arguments))[1]

    monkeypatch.setitem(BACKBONES, RECIPE.backbone, Backbone(_small))
    for name in ("read_constants", "train"):
        monkeypatch.setattr(training, name, draw_before(getattr(training, name)))
    again = training.train_model(examples, transform_graph, str(tmp_path), TrainSettings("strong", RECIPE, "none", seed=3))
    stored, expected = (_stored_arrays(model) for model in (again, trained))
    assert stored.keys() == expected.keys()
    assert [name for name, array in stored.items() if not np.array_equal(array, expected[name])] == []


def _stored_arrays(model: TrainedModel) -> dict[str, np.ndarray]:
    """All variables of the exported model, also those that only training uses, by name."""
    prefix = model.file_uri(MODEL, "variables", "variables")
    names = [name for name, _ in tf.train.list_variables(prefix) if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: tf.train.load_variable(prefix, name) for name in names}


def test_the_model_returns_distances_from_its_training_images(trained: TrainedModel, splits: dict[str, ExampleReader]) -> None:
    assert trained.usual_distances == {}  # there are fewer than 300 validation images
    signatures = tf.saved_model.load(trained.file_uri(MODEL)).signatures
    (pixels,) = splits["train"].batches(1000)
    exact, rounded = (signatures[name](pixels=tf.constant(pixels)) for name in SIGNATURES.values())
    assert np.mean(exact["distances"] <= 1) > 0.9
    black = signatures["pixels"](pixels=tf.zeros_like(pixels[:1]))
    assert black["distances"][0] > exact["distances"].numpy().max()
    assert np.allclose(exact["distances"], rounded["distances"], rtol=0.1)
    assert 0 < np.abs(exact["probabilities"] - rounded["probabilities"]).max() < 0.05


def test_a_warm_start_continues_from_the_champion_and_keeps_its_training_ids(
    trained: TrainedModel,
    examples: Examples,
    splits: dict[str, ExampleReader],
    transform_graph: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mlflow_run_id: str,
) -> None:
    monkeypatch.setitem(BACKBONES, RECIPE.backbone, Backbone(_small))
    folder = tmp_path / "serving" / "hpa" / "4"
    shutil.copytree(trained.file_uri(MODEL), folder)
    with (folder / MODEL_TRAINING_IDS).open("a") as ids:
        ids.write("of-an-earlier-training\n")
    champion = Champion(4, str(folder), trained.fingerprint, "evaluation0", "generation0")
    # With such a small learning rate, the weights do not change.
    settings = TrainSettings("strong", replace(RECIPE, epochs=1, learning_rate=1e-12), "none", seed=4, warm_start=True)
    model = training.train_model(examples, transform_graph, str(tmp_path), settings, champion)
    assert model.inputs == {"examples": examples.fingerprint, "champion": trained.fingerprint}
    assert model.started_from == "version 4 of the served model"
    logged = MlflowClient().get_run(mlflow_run_id).data.metrics
    assert logged["training/val_loss"] == model.metrics["val_loss"]
    ids = Path(model.file_uri(MODEL, MODEL_TRAINING_IDS)).read_text().split()
    assert ids == ["of-an-earlier-training", *(f"sample-{number:03d}" for number in range(96))]
    (pixels,) = splits["test"].batches(24)
    before, after = (tf.saved_model.load(one.file_uri(MODEL)).signatures["pixels"] for one in (trained, model))
    given, learned = (answer(pixels=tf.constant(pixels))["probabilities"] for answer in (before, after))
    assert np.allclose(given, learned, atol=1e-4)
    # The next run finds it, whatever the champion is then.
    assert settings.find(examples, str(tmp_path)) == model


def test_the_exported_model_agrees_on_pixels_and_png_files(
    trained: TrainedModel, examples: Examples, splits: dict[str, ExampleReader]
) -> None:
    model = tf.saved_model.load(trained.file_uri(MODEL))
    (pixels,) = splits["test"].batches(24)
    from_pixels = model.signatures["pixels"](pixels=tf.constant(pixels))
    for margins in (((0, 0), (0, 0)), ((0, 0), (3, 4)), ((2, 2), (0, 0))):  # as convert does, it takes the middle square
        files = {
            name: tf.constant([cv2.imencode(".png", np.pad(image[:, :, channel], margins))[1].tobytes() for image in pixels])
            for channel, name in enumerate(examples.channels)
        }
        from_png = model.signatures["serving_default"](**files)
        assert np.allclose(from_pixels["probabilities"], from_png["probabilities"], atol=1e-5)
    assert np.array_equal(from_pixels["decisions"], from_pixels["probabilities"].numpy() >= 0.5)
    assert [name.decode() for name in from_png["classes"].numpy()] == examples.class_names


@pytest.mark.parametrize("is_real", [False, True], ids=["synthetic", "real"])
def test_the_exported_model_agrees_on_files_and_their_records(
    trained: TrainedModel, is_real: bool, request: pytest.FixtureRequest
) -> None:
    if is_real:
        folder = request.getfixturevalue("hpa_dir") / "train"
        ids = [path.name.removesuffix("_green.png") for path in folder.glob("*_green.png")]
        samples = [{name: (folder / f"{each}_{name}.png").read_bytes() for name in FILTERS} for each in ids]
    else:
        samples = [render_sample(0, number).pngs for number in range(8)]
    pixels = np.stack([sample_pixels(pngs, FILTERS, trained.image_size_px) for pngs in samples])
    model = tf.saved_model.load(trained.file_uri(MODEL))
    from_pixels = model.signatures["pixels"](pixels=tf.constant(pixels))
    from_png = model.signatures["serving_default"](**{name: tf.constant([pngs[name] for pngs in samples]) for name in FILTERS})
    # OpenCV's and TensorFlow's means over areas are rounded to another grey level here and there.
    assert np.abs(from_pixels["probabilities"] - from_png["probabilities"]).max() < 0.01
    assert (from_pixels["decisions"].numpy() == from_png["decisions"].numpy()).mean() >= 0.999


def test_the_exported_model_is_invariant_to_all_symmetries(trained: TrainedModel, splits: dict[str, ExampleReader]) -> None:
    (pixels,) = splits["test"].batches(24)
    answer = tf.saved_model.load(trained.file_uri(MODEL)).signatures["pixels"]
    expected = answer(pixels=tf.constant(pixels))["probabilities"]
    for turned in (np.rot90(pixels, axes=(1, 2)), pixels[:, ::-1], pixels[:, :, ::-1]):
        assert np.allclose(answer(pixels=tf.constant(turned.copy()))["probabilities"], expected, atol=1e-5)


def test_an_activation_map_shows_where_a_class_is(trained: TrainedModel, splits: dict[str, ExampleReader]) -> None:
    model = tf.saved_model.load(trained.file_uri(MODEL))
    (pixels,) = splits["test"].batches(24)
    symmetries = [np.rot90(side, turns, (1, 2)) for side in (pixels, pixels[:, :, ::-1]) for turns in range(4)]
    maps = [model.signatures["activation_maps"](pixels=tf.constant(image.copy()))["maps"].numpy() for image in symmetries]
    assert maps[0].shape == (24, 7, 7, 3)
    # The mean of a map is the logit, and the model averages over the symmetries.
    probabilities = np.mean([tf.sigmoid(one.mean(axis=(1, 2))) for one in maps], axis=0)
    assert np.allclose(probabilities, model.signatures["pixels"](pixels=tf.constant(pixels))["probabilities"], atol=1e-5)


@pytest.fixture(scope="module")
def trained_on_crops(examples: Examples, transform_graph: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, RECIPE.backbone, Backbone(_small, min_side_px=12))
        recipe = replace(RECIPES["high_resolution"], epochs=2, batch_size=16, learning_rate=0.01)
        settings = TrainSettings("high_resolution", recipe, "none", seed=3)
        return training.train_model(examples, transform_graph, str(tmp_path_factory.mktemp("data")), settings)


def test_a_model_trained_on_crops_takes_the_maximum_over_the_corners(
    trained_on_crops: TrainedModel, splits: dict[str, ExampleReader], transform_graph: Path
) -> None:
    constants = training.read_constants(transform_graph)
    moments = constants["channel_mean"], constants["channel_std"]
    network = build_model(_small(False, None, (None, None, 3)), *moments, 3, dropout=0.2, pooling="average_max")
    values = _read_variables(trained_on_crops.file_uri(MODEL, "variables", "variables"))
    for variable, value in zip(network.variables, values, strict=True):
        variable.assign(value)
    (pixels,) = splits["test"].batches(24)
    corners = [pixels[:, rows, columns] for rows in (slice(12), slice(4, 16)) for columns in (slice(12), slice(4, 16))]
    expected = np.max([tf.sigmoid(network(corner.astype(np.float32), training=False)) for corner in corners], axis=0)
    signatures = tf.saved_model.load(trained_on_crops.file_uri(MODEL)).signatures
    assert np.allclose(signatures["pixels"](pixels=tf.constant(pixels))["probabilities"], expected, atol=1e-5)
    # The activation maps are those of the whole image.
    maps = signatures["activation_maps"](pixels=tf.constant(pixels))["maps"].numpy()
    assert maps.shape == (24, 7, 7, 3)
    assert np.allclose(maps.mean(axis=(1, 2)), network(pixels.astype(np.float32), training=False), atol=1e-4)


def test_a_model_trained_on_crops_records_pooling_and_crops(
    trained_on_crops: TrainedModel, splits: dict[str, ExampleReader]
) -> None:
    assert {name: trained_on_crops.parameters[name] for name in ("pooling", "crop", "crops", "views")} == {
        "pooling": "average_max",
        "crop": 0.75,
        "crops": 4,
        "views": 1,
    }
    assert trained_on_crops.image_size_px == 16
    (pixels,) = splits["train"].batches(96)
    answer = tf.saved_model.load(trained_on_crops.file_uri(MODEL)).signatures["pixels"](pixels=tf.constant(pixels))
    assert np.mean(answer["distances"] <= 1) > 0.9


def test_crops_that_are_too_small_for_the_network_are_refused(examples: Examples, tmp_path: Path) -> None:
    settings = TrainSettings("high_resolution", RECIPES["high_resolution"], "none", 0)
    message = "expected crops of 75 px or more, so image_size_px=100 or more. Received: images of 16 px, with crops of 12 px"
    with pytest.raises(ValueError, match=message):
        training.train_model(examples, tmp_path, str(tmp_path), settings)


@pytest.mark.parametrize(
    ("side_px", "channels", "is_warned"),
    [(512, "rgby", False), (1024, "rgbyx", False), (299, "rgby", True), (512, "rgb", True)],
)
def test_unsuitable_images_for_a_recipe_cause_a_warning(
    examples: Examples, caplog: pytest.LogCaptureFixture, side_px: int, channels: str, is_warned: bool
) -> None:
    images = examples.model_copy(update={"image_size_px": side_px, "channels": list(channels)})
    for recipe in RECIPES:
        training._check_images(images, TrainSettings(recipe, RECIPES[recipe], "none", 0))
    expected = (
        "recipe=high_resolution is intended for images of 512 px or more with 4 channels or more (image_size_px=512 "
        f"channels=rgby, for the atlas's images). These have {side_px} px and {len(channels)} channels"
    )
    assert caplog.messages == [expected] * is_warned


def test_the_exported_model_needs_nothing_but_tensorflow_and_its_thresholds_can_be_replaced(
    trained: TrainedModel, tmp_path: Path
) -> None:
    copy = tmp_path / "served"
    program = (
        "import shutil, sys, pathlib; shutil.copytree(sys.argv[1], sys.argv[2])\n"
        "assets = pathlib.Path(sys.argv[2]) / 'assets' / 'thresholds.csv'\n"
        "assets.write_text('0.0\\n1.1\\n0.0\\n')\n"
        "import tensorflow as tf\n"
        "served = tf.saved_model.load(sys.argv[2]).signatures['pixels']\n"
        "print(served(pixels=tf.zeros((1, 16, 16, 3), tf.uint8))['decisions'].numpy().tolist())\n"
    )
    command = [sys.executable, "-c", program, trained.file_uri(MODEL), str(copy)]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.stdout.strip() == "[[True, False, True]]", finished.stderr


def test_a_worker_does_not_wait_forever_for_a_dead_chief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SECONDS_TO_PUBLISH", 0.0)
    with pytest.raises(TimeoutError, match=r"The first worker published no model below .* When restarted, all workers"):
        training._wait_for_chief(str(tmp_path))


def test_another_seed_recipe_or_weights_file_is_another_model(examples: Examples, tmp_path: Path) -> None:
    weights = tmp_path / "w.h5"
    weights.write_bytes(b"1")
    requests = [
        TrainSettings("paper", RECIPE, "none", 0),
        TrainSettings("paper", RECIPE, "none", 1),
        TrainSettings("paper", replace(RECIPE, epochs=3), "none", 0),
        TrainSettings("paper", RECIPE, str(weights), 0),
    ]
    fingerprints = [settings.fingerprint(examples) for settings in requests]
    weights.write_bytes(b"2")  # the content counts, not the name
    fingerprints.append(requests[-1].fingerprint(examples))
    assert len(set(fingerprints)) == 5


def test_a_training_with_default_parameters_has_the_fingerprint_of_earlier_versions(examples: Examples) -> None:
    """If this fails because FORMAT was incremented on purpose: update the fingerprint here."""
    default = RECIPES["paper"].overridden()
    assert TrainSettings("paper", default, "imagenet", 0).fingerprint(examples) == "5375c3d5c02d5f23"
    assert RECIPES["paper"].overridden(backbone="inception_resnet_v2") == default
    other = RECIPES["paper"].overridden(backbone="densenet121")
    assert TrainSettings("paper", other, "imagenet", 0).fingerprint(examples) != "5375c3d5c02d5f23"


def test_examples_with_missing_shards_are_refused_before_building_the_network(examples: Examples, tmp_path: Path) -> None:
    moved = examples.model_copy(update={"uri": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match="5 shards are missing or truncated, for example train-00000-of-00003"):
        training.train_model(moved, tmp_path, str(tmp_path), TrainSettings("paper", RECIPE, "none", 0))
