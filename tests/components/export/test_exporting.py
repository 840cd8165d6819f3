import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.export.exporting import TOLERANCE, export
from components.reports.model_card import INTENDED_USE
from components.serving.model import load_model, read_manifest
from components.train.recipes import RECIPES
from tests.components.export.conftest import CHANNELS, CLASS_NAMES, MakeVersion

# bioimageio leaves files open until garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

_SIGNED = {"authors": ["Ada Lovelace", "Alan Turing"], "licence": "CC-BY-4.0"}
_OPEN_WITH_KERAS = """
import sys, keras, numpy as np
np.save(sys.argv[3], keras.saving.load_model(sys.argv[1])(np.load(sys.argv[2])))
"""


def _pixels(version_dir: Path, num_images: int = 5) -> np.ndarray:
    trained = read_manifest(str(version_dir))
    shape = (num_images, trained.image_size_px, trained.image_size_px, len(trained.channels))
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def _served(version_dir: Path, pixels: np.ndarray) -> np.ndarray:
    return load_model(str(version_dir), read_manifest(str(version_dir)), len(pixels), Path()).classify(pixels).probabilities


def test_keras_opens_the_file_on_another_backend_and_without_this_project(version_dir: Path, tmp_path: Path) -> None:
    out, pixels = tmp_path / "hpa.keras", _pixels(version_dir)
    exported = export(str(version_dir), "keras", str(out))
    assert exported.num_images == 4
    assert exported.difference <= TOLERANCE
    np.save(tmp_path / "pixels.npy", pixels.astype(np.float32))
    words = [sys.executable, "-P", "-c", _OPEN_WITH_KERAS, out, tmp_path / "pixels.npy", tmp_path / "probabilities.npy"]
    subprocess.run(words, env=os.environ | {"KERAS_BACKEND": "jax"}, cwd=tmp_path, check=True)
    assert np.abs(np.load(tmp_path / "probabilities.npy") - _served(version_dir, pixels)).max() <= TOLERANCE
    card = zipfile.ZipFile(out).read("README.md").decode()
    assert "| Rods & rings | 0.5 |" in card
    assert "| Golgi \\| apparatus | 0.6 |" in card
    assert INTENDED_USE in card


def test_onnx_runtime_opens_the_file_with_its_metadata(version_dir: Path, tmp_path: Path) -> None:
    out, pixels = tmp_path / "hpa.onnx", _pixels(version_dir)
    export(str(version_dir), "onnx", str(out))
    session = onnxruntime.InferenceSession(out)
    (taken,) = session.get_inputs()
    (given,) = session.get_outputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("pixels", "tensor(float)", [32, 32, 4])
    assert (given.name, given.type, given.shape[1:]) == ("probabilities", "tensor(float)", [3])
    (found,) = session.run(None, {"pixels": pixels.astype(np.float32)})
    assert np.abs(found - _served(version_dir, pixels)).max() <= TOLERANCE
    metadata = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    assert metadata == {"channels": CHANNELS, "classes": CLASS_NAMES, "thresholds": pytest.approx([0.4, 0.5, 0.6])}
    proto = onnx.load(out)
    onnx.checker.check_model(proto)
    assert INTENDED_USE in proto.doc_string


def test_bioimageio_tests_the_package_offline(version_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "hpa.zip"
    export(str(version_dir), "bioimageio", str(out), **_SIGNED)
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    words = [Path(sys.executable).with_name("bioimageio"), "test", out, "--weight-format=all", "--stop-early"]
    tested = subprocess.run(
        words, env=os.environ | nowhere | {"HOME": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    with zipfile.ZipFile(out) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".yaml"))
        description = yaml.safe_load(package.read(name))
        card = package.read("README.md").decode()
    assert [author["name"] for author in description["authors"]] == _SIGNED["authors"]
    assert description["license"] == "CC-BY-4.0"
    assert description["description"] == INTENDED_USE
    axes = {axis.get("id", axis["type"]): axis for axis in description["inputs"][0]["axes"]}
    assert list(axes) == ["batch", "y", "x", "channel"]
    assert axes["channel"]["channel_names"] == CHANNELS
    assert description["outputs"][0]["axes"][-1]["channel_names"] == CLASS_NAMES
    assert "CC BY-SA 4.0" in card


@pytest.mark.parametrize(
    ("file_format", "name", "given", "expected"),
    [
        ("onnx", "hpa.zip", {}, r"--out: expected a name that ends in \.onnx"),
        ("onnx", "hpa.onnx", _SIGNED, "--author and --license are for --format bioimageio"),
        ("bioimageio", "hpa.zip", {"authors": ["Ada"]}, "expected --author at least once, and --license"),
        (
            "bioimageio",
            "hpa.zip",
            {"authors": ["Ada"], "licence": "mine"},
            "--license: expected an id of https://spdx.org/licenses",
        ),
    ],
)
def test_invalid_arguments_are_refused(
    version_dir: Path, tmp_path: Path, file_format: str, name: str, given: dict[str, object], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        export(str(version_dir), file_format, str(tmp_path / name), **given)
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_overwritten(version_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "hpa.keras"
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=f"{out} already exists"):
        export(str(version_dir), "keras", str(out))
    assert out.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"views": 1}, "probabilities differ from the served model's by"),
        ({"backbone": "resnet50"}, "expected one of the backbones inception_resnet_v2, .* Received: resnet50"),
        ({"backbone": "wide"}, "variables, shaped as those of wide"),
    ],
)
def test_a_model_that_cannot_be_rebuilt_leaves_no_file(
    make_version: MakeVersion, tmp_path: Path, parameters: dict[str, object], expected: str
) -> None:
    manifest_path = make_version() / MODEL_MANIFEST
    trained = TrainedModel.read(str(manifest_path))
    changed = trained.model_copy(update={"parameters": trained.parameters | parameters})
    manifest_path.write_bytes(changed.to_json())
    with pytest.raises(ValueError, match=expected):
        export(str(manifest_path.parents[1]), "keras", str(tmp_path / "hpa.keras"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("file_format", "suffix"), [("keras", "keras"), ("onnx", "onnx")])
def test_crops_and_both_poolings_are_in_the_file(
    make_version: MakeVersion, tmp_path: Path, file_format: str, suffix: str
) -> None:
    version_dir = make_version(replace(RECIPES["high_resolution"], backbone="small", views=2), side_px=64)
    assert export(str(version_dir), file_format, str(tmp_path / f"hpa.{suffix}")).difference <= TOLERANCE


@pytest.mark.long
@pytest.mark.parametrize(("file_format", "suffix"), [("keras", "keras"), ("onnx", "onnx"), ("bioimageio", "zip")])
def test_the_papers_network_is_exported(make_version: MakeVersion, tmp_path: Path, file_format: str, suffix: str) -> None:
    """InceptionResNetV2 is exported to each format, and the exported model gives the same probabilities."""
    version_dir = make_version(replace(RECIPES["strong"]), side_px=75, channels=["red", "green", "blue"])
    signed = _SIGNED if file_format == "bioimageio" else {}
    assert export(str(version_dir), file_format, str(tmp_path / f"hpa.{suffix}"), **signed).difference <= TOLERANCE
