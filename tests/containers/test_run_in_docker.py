"""The whole pipeline in one container, for a machine with nothing but Docker."""

import subprocess
from pathlib import Path

import docker
import pytest

from pipeline.compiled import ROOT
from tests.containers.engine import user_of

pytestmark = [pytest.mark.containers, pytest.mark.long]


def test_a_run_leaves_its_model_and_reports_on_the_host(client: docker.DockerClient, tmp_path: Path) -> None:
    """`make run-in-docker` leaves the pushed model and the reports on the host, owned by the user."""
    demo = "source=synthetic:40 image_size_px=75 weights=none epochs=1 blessing_min_gain=-1"
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    user = user_of(outputs)
    command = ["make", "run-in-docker", f"DEMO={demo}", f"RUN_IN={tmp_path}", f"RUN_AS={user}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"Pushed model: {outputs}/serving/hpa/1\n" in ran.stdout
    assert (outputs / "serving" / "hpa" / "1" / "saved_model.pb").is_file()
    assert [path.stat().st_size > 0 for path in outputs.glob("runs/*/run.html")] == [True]
    assert {path.stat().st_uid for path in outputs.rglob("*")} == {int(user.partition(":")[0])}
