"""The web server's image, started as in deploy/serve.yaml, with the models of an earlier release."""

import csv
import json
import os
import re
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from components import storage
from components.serving.champion import Champion, find_pointer, promote
from pipeline.compiled import ROOT
from tests.containers.engine import confined, wait_until_it_says
from tests.test_deploy import SERVER

pytestmark = pytest.mark.containers

_RELEASE = ROOT / "tests" / "upgrades" / "0.1.0"
_STORE_SETTINGS = ("AWS_", "STORAGE_EMULATOR_HOST")
# Runs in the container, which cannot be reached from outside.
_ASK = """
import pathlib, requests, sys
url, folder, *paths = sys.argv[1:]
for path in paths:
    requests.get(url + path, timeout=60).raise_for_status()
files = [("files", (path.name, path.read_bytes())) for path in pathlib.Path(folder).glob("cell200_*.png")]
print(requests.post(url + "/predict", files=files, timeout=60).text)
"""


@pytest.mark.parametrize("place", ["local_root", "gcs_root", "s3_root"])
def test_the_server_predicts_follows_a_promotion_and_ends_after_sigterm(
    images: docker.DockerClient, place: str, request: pytest.FixtureRequest
) -> None:
    root: str = request.getfixturevalue(place)
    storage.create_tree(_RELEASE / "serving", root)
    folders = [str(_RELEASE / "images"), *([root] if storage.is_local(root) else [])]
    container_of = confined(
        images,
        "serve",
        [*(argument.replace("gs://BUCKET/models", root) for argument in SERVER["args"]), "--port=0"],
        int(SERVER["resources"]["limits"]["memory"].removesuffix("Gi")) << 30,
        {folder: {"bind": folder, "mode": "ro"} for folder in folders},
        # The object stores of these tests are on the host's loopback.
        network_mode="none" if storage.is_local(root) else "host",
        environment={name: value for name, value in os.environ.items() if name.startswith(_STORE_SETTINGS)},
    )
    with container_of as container:
        wait_until_it_says(container, "open http://")
        _assert_predicts_as(container, 2)
        promote(Champion(1, f"{root}/hpa/1", "m", "e", find_pointer(root, "hpa").generation), root, "hpa")
        wait_until_it_says(container, f"the model is {root}/hpa/1")
        _assert_predicts_as(container, 1)
        container.stop(timeout=30)
        said = container.logs().decode()
        assert container.wait()["StatusCode"] == 0, said
        assert "Traceback" not in said


def _assert_predicts_as(container: Container, version: int) -> None:
    """Asserts that the manifest's probes succeed, and that a version's predictions equal those of its release."""
    (port,) = re.findall(r"open http://0\.0\.0\.0:(\d+)", container.logs().decode())
    paths = [SERVER[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    command = ["python3", "-c", _ASK, f"http://127.0.0.1:{port}", str(_RELEASE / "images"), *paths, "/", "/model-card"]
    status, said = container.exec_run(command)
    assert status == 0, said.decode() + container.logs().decode()
    answer: dict[str, Any] = json.loads(said)
    assert answer["version"] == str(version)
    (sample,) = answer["samples"]
    with (_RELEASE / f"predictions_{version}.csv").open(encoding="utf-8") as file:
        (row,) = (row for row in csv.DictReader(file) if row["Id"] == "cell200")
    assert sample["probabilities"] == pytest.approx({name: float(row[name]) for name in sample["probabilities"]}, abs=1e-4)
