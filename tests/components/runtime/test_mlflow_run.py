"""Logging to the MLflow run that the environment names, in MLflow's file store and on a real tracking server."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.runtime.mlflow_run import MlflowRun
from pipeline.compiled import ROOT

CURVES = {"loss": [0.7, 0.5], "val_loss": [0.8, 0.6]}
# The locked release of mlflow-skinny.
MLFLOW = next(
    line.split(" ")[0] for line in (ROOT / "requirements" / "all.txt").read_text().splitlines() if "mlflow-skinny" in line
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server of the locked release, in an environment of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    uv, python = Path(sys.executable).with_name("uv"), folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, MLFLOW.replace("-skinny", "")], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *places]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(address, process)
            yield address
        finally:
            process.terminate()


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the tracking server ended")


def _points(run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in MlflowClient().get_metric_history(run_id, name))


def test_curves_are_logged_once_as_they_grow(mlflow_run_id: str) -> None:
    task = MlflowRun()
    task.log_curves({name: values[:1] for name, values in CURVES.items()})
    assert _points(mlflow_run_id, "training/loss") == [(1, 0.7)]
    task.log_curves(CURVES)
    task.log_curves(CURVES)
    assert _points(mlflow_run_id, "training/loss") == [(1, 0.7), (2, 0.5)]
    assert _points(mlflow_run_id, "training/val_loss") == [(1, 0.8), (2, 0.6)]


def test_resumed_training_logs_its_earlier_epochs(mlflow_run_id: str) -> None:
    MlflowRun().log_curves(CURVES)
    assert _points(mlflow_run_id, "training/loss") == [(1, 0.7), (2, 0.5)]


def test_class_names_become_valid_metric_names(mlflow_run_id: str) -> None:
    MlflowRun().log_metrics({"f1 Golgi (cis) 50 %: ä": 0.25, "f1_macro": 0.5})
    assert MlflowClient().get_run(mlflow_run_id).data.metrics == {"f1 Golgi _cis_ 50 __ ä": 0.25, "f1_macro": 0.5}


def test_report_is_an_artifact_of_the_run(mlflow_run_id: str) -> None:
    MlflowRun().log_text("<p>ä</p>", "evaluation_report.html")
    path = MlflowClient().download_artifacts(mlflow_run_id, "evaluation_report.html")
    assert Path(path).read_text(encoding="utf-8") == "<p>ä</p>"


def test_without_a_run_mlflow_is_not_imported() -> None:
    code = (
        "import sys; from components.runtime.mlflow_run import MlflowRun; MlflowRun().log_metrics({'a': 1.0});"
        "MlflowRun().log_curves({}); MlflowRun().log_text('', 'a'); assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "MLFLOW_RUN_ID": ""}, cwd=ROOT)


def test_unreachable_server_causes_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://user:sesame@127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_RUN_ID", "a" * 32)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING, "components"):
        task = MlflowRun()
        task.log_metrics({"f1_macro": 0.5})
        task.log_metrics({"f1_macro": 0.5})
    (record,) = [record for record in caplog.records if record.name == "components.runtime.mlflow_run"]
    assert record.getMessage().startswith("nothing more is logged to MLflow: ")
    assert "sesame" not in caplog.text


@pytest.mark.slow
def test_real_tracking_server_has_curves_figures_and_report(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    client = MlflowClient()
    run_id = client.create_run(client.create_experiment("cells")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    task = MlflowRun()
    task.log_curves(CURVES)
    task.log_metrics({f"f1 {number}": 0.5 for number in range(1001)})
    task.log_text("<p>report</p>", "evaluation_report.html")
    assert _points(run_id, "training/loss") == [(1, 0.7), (2, 0.5)]
    assert len(client.get_run(run_id).data.metrics) == 2 + 1001
    assert [file.path for file in client.list_artifacts(run_id)] == ["evaluation_report.html"]
