"""What is in the images, and what is not."""

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
# What is asked of an image from the inside, as the user that a step runs as.
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
    """What the image says of itself."""
    found: dict[str, Any] = images.images.get(image(step)).attrs
    return found


@pytest.fixture(scope="module")
def inside(images: docker.DockerClient, step: str) -> dict[str, Any]:
    """What the probe finds in the image."""
    options = {"entrypoint": ["python3", "-c"], "remove": True, "network_mode": "none", "read_only": True}
    said = images.containers.run(image(step), [_PROBE], **options)
    found: dict[str, Any] = json.loads(said)
    return found


def test_it_runs_as_a_user_that_is_a_number_and_not_root(config: dict[str, Any]) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["Config"]["User"])
    assert config["Config"]["WorkingDir"] == "/app"


def test_it_says_what_it_is_and_that_it_is_no_build_for_a_gpu(config: dict[str, Any], step: str) -> None:
    labels = config["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"hpa-pipeline/{step}"
    assert labels["org.opencontainers.image.version"] == f"{__version__}-cpu"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.source"]
    assert "@" not in labels["org.opencontainers.image.source"]  # an address with credentials
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["org.opencontainers.image.revision"])
    assert re.fullmatch(rf"{_BASE}(@sha256:[0-9a-f]{{64}})?", labels["org.opencontainers.image.base.name"])
    assert all(name.endswith("-cpu") for name in config["RepoTags"])


def test_it_is_small(images: docker.DockerClient, config: dict[str, Any], step: str) -> None:
    added_mb = (config["Size"] - images.images.get(_BASE).attrs["Size"]) / 1e6
    assert added_mb <= _MAX_MB[step]


def test_its_packages_fit_together(inside: dict[str, Any]) -> None:
    assert inside["pip_check"][0] == 0, inside["pip_check"][1]


def test_its_bill_of_materials_is_what_is_installed(inside: dict[str, Any], step: str) -> None:
    bill, packages = inside["bill"], inside["packages"]
    assert (bill.pop("kfp", None) is None) is (step == "serve")  # a part of it, without what pip says of it
    of_the_base = {"pip", "setuptools", "wheel"}
    assert bill.items() <= packages.items()
    assert packages.keys() - bill.keys() <= {"hpa-pipeline", *of_the_base}


def test_it_has_the_code_of_its_step_as_a_package_and_of_no_other(inside: dict[str, Any], step: str) -> None:
    assert inside["packages"]["hpa-pipeline"] == __version__
    assert inside["steps"] == ([] if step == "serve" else [step])
    has_reports = step in ("convert", "train", "evaluate", "serve")
    assert inside["templates"] == (["components/reports/page.html.jinja"] if has_reports else [])


def test_it_has_tensorflow_and_beam_only_where_they_are_used(inside: dict[str, Any], step: str) -> None:
    tensorflow = {"convert": ["tensorflow"], "ingest": [], "push": []}.get(step, ["tensorflow-cpu"])
    assert [name for name in inside["packages"] if name in ("tensorflow", "tensorflow-cpu")] == tensorflow
    assert ("apache-beam" in inside["packages"]) == (step == "convert")
    assert not [name for name in inside["packages"] if name.startswith("nvidia-")]


def test_its_code_is_compiled_and_can_be_changed_by_nobody_and_nothing_is_left_of_the_build(inside: dict[str, Any]) -> None:
    assert inside["not_compiled"] == []
    assert inside["writable"] == []
    assert inside["build_tools"] == []
    assert inside["headers"] == []
