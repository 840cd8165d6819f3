"""Each smaller network end to end at 75 px: training from weights in a file, a kill, predictions, and a warm start."""

import csv
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from kfp import dsl

from components.artifacts.examples import open_splits
from components.artifacts.manifest import MODEL_MANIFEST, Examples, TrainedModel
from components.convert.step import convert
from components.ingest.step import ingest
from components.push.step import push
from components.serving.predict.prediction import predict
from components.synthetic.samples import render_sample
from components.train import fit
from components.train.model import BACKBONES
from components.train.step import train
from components.train.warm_start import _read_variables
from tests.upgrades.make_fixture import Artifacts, evaluate_model

pytestmark = [
    pytest.mark.long,
    # Keras warns that its networks usually expect one or three channels. The first layer is widened to four.
    pytest.mark.filterwarnings("ignore:This model usually expects"),
]
# All but the largest, which test_run.py trains.
_NETWORKS = [name for name in BACKBONES if name != "inception_resnet_v2"]

Train = Callable[..., Path]


class _KilledError(BaseException):
    """An exception that no code catches."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backbones")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, dsl.Artifact]:
    """Examples of 24 samples with all four stains."""
    artifacts = Artifacts(folder / "made")
    raw = artifacts(raw_images=dsl.Dataset)
    ingest(source="synthetic:24", data_root=str(folder / "data"), channels="rgby", **raw)
    made = artifacts(examples=dsl.Dataset, transform_graph=dsl.Artifact, data_report=dsl.HTML, quarantine=dsl.Dataset)
    convert(data_root=str(folder / "data"), image_size_px=75, channels="rgby", **raw, **made)
    return made


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in _NETWORKS])
def backbone(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    keras.backend.clear_session()  # the graphs of a network take gigabytes
    gc.collect()


@pytest.fixture(scope="module")
def train_it(folder: Path, made: dict[str, dsl.Artifact], backbone: str) -> Train:
    """Runs the train step of a network with a weights file like those that Keras publishes, and returns the model's folder."""
    weights = folder / f"{backbone}.weights.h5"
    keras.utils.set_random_seed(1)
    BACKBONES[backbone].make(include_top=False, weights=None, input_shape=(75, 75, 3)).save_weights(weights)

    def run(attempt: str, **parameters: object) -> Path:
        artifacts = Artifacts(folder / backbone / attempt)
        trained = artifacts(model=dsl.Model, training_metrics=dsl.Metrics, training_report=dsl.HTML)
        given: dict[str, object] = {"data_root": str(folder / "data"), "epochs": 2, "batch_size": 8, "precision": "float32"}
        given |= {"serving_root": str(folder / backbone / "serving"), "weights": str(weights), "backbone": backbone}
        train(examples=made["examples"], transform_graph=made["transform_graph"], **given | parameters, **trained)
        return Path(trained["model"].path)

    return run


@pytest.fixture(scope="module")
def resumed(train_it: Train) -> Path:
    """A model whose training was killed at its first checkpoint and then resumed."""
    really_save = fit._Training._save

    def save_and_die(training: fit._Training) -> None:
        really_save(training)
        training._writer.wait()
        raise _KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        patch.setattr(fit._Training, "_save", save_and_die)
        with pytest.raises(_KilledError):
            train_it("killed")
    return train_it("resumed")


@pytest.fixture(scope="module")
def served(folder: Path, made: dict[str, dsl.Artifact], backbone: str, resumed: Path) -> Path:
    """The folder of served models, after the model was evaluated and pushed."""
    artifacts = Artifacts(folder / backbone / "pushed")
    model = dsl.Model(name="model", uri=str(resumed), metadata={})
    serving_root = str(folder / backbone / "serving")
    judged = evaluate_model(made["examples"], model, str(folder / "data"), serving_root, artifacts)
    judged = {name: judged[name] for name in ("thresholds", "blessing")}
    push(model=model, serving_root=serving_root, **judged, **artifacts(pushed_model=dsl.Model))
    assert f"<td>{backbone} with one sigmoid" in (artifacts.folder / "evaluation_report").read_text(encoding="utf-8")
    return Path(serving_root, "hpa")


def test_the_manifest_names_the_network(resumed: Path, backbone: str) -> None:
    """A model's manifest names the network that was trained."""
    trained = TrainedModel.read(str(resumed / MODEL_MANIFEST))
    assert trained.backbone == backbone
    assert trained.epochs_trained == 2


def test_a_resumed_training_equals_an_uninterrupted_one(train_it: Train, resumed: Path, folder: Path, backbone: str) -> None:
    """Each smaller network, killed at its first checkpoint and resumed, ends with the weights of an uninterrupted training."""
    whole = train_it("whole", data_root=str(folder / backbone / "data"))
    expected, found = (_read_variables(str(model / "variables" / "variables")) for model in (whole, resumed))
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_the_mean_of_an_activation_map_is_the_logit(made: dict[str, dsl.Artifact], resumed: Path) -> None:
    """The mean of each network's activation map is the logit of its class."""
    with open_splits(Examples.read(made["examples"].path), ["train"]) as splits:
        pixels = tf.constant(next(splits["train"].batches(8)))
    signatures = tf.saved_model.load(str(resumed)).signatures
    maps = signatures["activation_maps"](pixels=pixels)["maps"].numpy()
    expected = signatures["pixels"](pixels=pixels)["probabilities"].numpy()
    assert np.allclose(1 / (1 + np.exp(-maps.mean(axis=(1, 2)))), expected, atol=1e-5)
    assert np.ptp(maps, axis=(1, 2)).min() > 0  # it is not constant


def test_the_model_is_served_without_xla(resumed: Path) -> None:
    """No network needs XLA, which TensorFlow Serving rejects by default, to be served."""
    assert b"_XlaMustCompile\x12\x02(\x01" not in (resumed / "saved_model.pb").read_bytes()


def test_the_pushed_model_predicts(served: Path, tmp_path: Path) -> None:
    """Each smaller network, once pushed, predicts from PNG files."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(100, 103):
        sample = render_sample(0, number)
        for name, png in sample.pngs.items():
            (images / f"{sample.sample_id}_{name}.png").write_bytes(png)
    predict(str(served), str(images), str(tmp_path / "predictions.csv"))
    _, *rows = csv.reader((tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines())
    probabilities = np.array([row[2:] for row in rows], float)
    assert probabilities.shape == (3, 28)
    assert len(np.unique(probabilities, axis=0)) == 3


def test_a_warm_start_continues_from_the_champion(train_it: Train, served: Path) -> None:
    """Each smaller network can continue from the champion's weights."""
    assert served.is_dir()
    again = train_it("warm", warm_start=True, seed=1, epochs=1, weights="none", learning_rate=1e-9)
    assert TrainedModel.read(str(again / MODEL_MANIFEST)).started_from == "version 1 of the served model"


def test_a_champion_with_another_network_is_not_used(
    train_it: Train, served: Path, backbone: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training run does not continue from a champion with another network, and its log says so."""
    assert served.is_dir()
    other = next(name for name in BACKBONES if name != backbone)

    def stop(*_: object) -> None:
        raise _KilledError

    monkeypatch.setattr("components.train.training._train", stop)  # once it has logged its initial weights
    with pytest.raises(_KilledError):
        train_it("other", backbone=other, weights="none", warm_start=True)
    assert (
        "training starts from weights=none, not the champion: the backbone of version 1 is "
        f"{backbone}, and that of this run is {other}"
    ) in capsys.readouterr().out
