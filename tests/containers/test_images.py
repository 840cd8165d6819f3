"""The contents of the images."""

import json
import re
from typing import Any

import docker
import pytest

from components import __version__
from pipeline.compiled import load_steps
from tests.containers.engine import image

pytestmark = pytest.mark.containers

_BASE = "python:3.11-slim-bookworm"
_MAX_MB = {"ingest": 200, "convert": 3200, "train": 1800, "evaluate": 1800, "push": 100, "serve": 1800}
# Runs inside an image, as the user of the step.
_PROBE = """
import importlib.metadata, json, os, pathlib, re, shutil, subprocess, sys
sources = [path for package in ("components", "kfp") for path in pathlib.Path(package).rglob("*.py")]
pip = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
print(json.dumps({
    "packages": {
        re.sub("[-_.]+", "-", found.metadata["Name"].lower()): found.version
        for found in reversed([*importlib.metadata.distributions()])  # of several versions, the one that is imported
    },
    "pip_check": [pip.returncode, pip.stdout + pip.stderr],
    "steps": sorted(path.parent.name for path in pathlib.Path("components").glob("*/step.py")),
    "templates": [str(path) for path in pathlib.Path("components").rglob("*.jinja")],
    "not_compiled": [str(path) for path in sources if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))],
    "build_tools": [tool for tool in ("cc", "gcc", "g++", "make", "git", "uv") if shutil.which(tool)],
    "writable": [folder for folder in (".", "components", *sys.path) if os.path.isdir(folder) and os.access(folder, os.W_OK)],
    "bill": {one["name"]: one["version"] for one in json.loads(pathlib.Path("sbom.cdx.json").read_text())["components"]},
    "headers": [found for found in sys.path if os.path.isdir(os.path.join(found, "tensorflow", "include"))],
}))
"""


@pytest.fixture(scope="module", params=[*load_steps(), "serve"])
def step(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def config(images: docker.DockerClient, step: str) -> dict[str, Any]:
    """The image's metadata, as from `docker inspect`."""
    found: dict[str, Any] = images.images.get(image(step)).attrs
    return found


@pytest.fixture(scope="module")
def inside(images: docker.DockerClient, step: str) -> dict[str, Any]:
    """The findings of the probe in the image."""
    options = {"entrypoint": ["python3", "-c"], "remove": True, "network_mode": "none", "read_only": True}
    said = images.containers.run(image(step), [_PROBE], **options)
    found: dict[str, Any] = json.loads(said)
    return found


def test_an_image_has_a_numeric_user_other_than_root(config: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["Config"]["User"])
    assert config["Config"]["WorkingDir"] == "/app"


def test_labels_and_tags_identify_the_image_as_a_cpu_build(config: dict[str, Any], step: str) -> None:
    labels = config["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"hpa-pipeline/{step}"
    assert labels["org.opencontainers.image.version"] == f"{__version__}-cpu"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.source"]
    assert "@" not in labels["org.opencontainers.image.source"]  # no credentials in the address
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["org.opencontainers.image.revision"])
    assert re.fullmatch(rf"{_BASE}(@sha256:[0-9a-f]{{64}})?", labels["org.opencontainers.image.base.name"])
    assert all(name.endswith("-cpu") for name in config["RepoTags"])


def test_an_image_is_small(images: docker.DockerClient, config: dict[str, Any], step: str) -> None:
    added_mb = (config["Size"] - images.images.get(_BASE).attrs["Size"]) / 1e6
    assert added_mb <= _MAX_MB[step]


def test_installed_packages_are_compatible(inside: dict[str, Any]) -> None:
    assert inside["pip_check"][0] == 0, inside["pip_check"][1]


def test_the_bill_of_materials_lists_the_installed_packages(inside: dict[str, Any], step: str) -> None:
    bill, packages = inside["bill"], inside["packages"]
    assert (bill.pop("kfp", None) is None) is (step == "serve")  # only a part of kfp is installed, without pip's metadata
    of_the_base = {"pip", "setuptools", "wheel"}
    assert bill.items() <= packages.items()
    assert packages.keys() - bill.keys() <= {"hpa-pipeline", *of_the_base}


def test_an_image_has_only_the_code_of_its_own_step_as_a_package(inside: dict[str, Any], step: str) -> None:
    assert inside["packages"]["hpa-pipeline"] == __version__
    assert inside["steps"] == ([] if step == "serve" else [step])
    has_reports = step in ("convert", "train", "evaluate", "serve")
    assert inside["templates"] == (["components/reports/page.html.jinja"] if has_reports else [])


def test_only_images_that_use_tensorflow_or_beam_have_them(inside: dict[str, Any], step: str) -> None:
    tensorflow = {"convert": ["tensorflow"], "ingest": [], "push": []}.get(step, ["tensorflow-cpu"])
    assert [name for name in inside["packages"] if name in ("tensorflow", "tensorflow-cpu")] == tensorflow
    assert ("apache-beam" in inside["packages"]) == (step == "convert")
    assert not [name for name in inside["packages"] if name.startswith("nvidia-")]


def test_the_code_is_compiled_and_read_only_and_no_build_tools_are_left(inside: dict[str, Any]) -> None:
    assert inside["not_compiled"] == []
    assert inside["writable"] == []
    assert inside["build_tools"] == []
    assert inside["headers"] == []
