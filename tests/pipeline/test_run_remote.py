"""The committed pipeline.yaml with data and models in object stores, on real images if HPA_SAMPLES is set."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from components import storage
from pipeline.compiled import load_steps
from tests.pipeline.conftest import run_pipeline


@pytest.fixture
def source(request: pytest.FixtureRequest) -> str:
    """The competition's samples if available, otherwise as many synthetic ones."""
    return f"dir:{request.getfixturevalue('hpa_dir')}" if os.environ.get("HPA_SAMPLES") else "synthetic:64"


# A run takes minutes. The tests of the steps cover each kind of store, too.
@pytest.mark.parametrize(
    "root",
    [
        pytest.param("s3_root", marks=[pytest.mark.long, pytest.mark.object_store]),
        pytest.param("gcs_root", marks=[pytest.mark.long, pytest.mark.object_store]),
    ],
)
@pytest.mark.xdist_group("run_remote")
def test_a_run_on_an_object_store_succeeds_and_is_reused(
    source: str, root: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A whole run on `s3://` or `gs://` succeeds, and the same command again reuses all its outputs."""
    remote_root = request.getfixturevalue(root)
    settings = ("image_size_px=75", "weights=none", "epochs=1", "backbone=convnext_tiny", "blessing_min_gain=-1")
    arguments = (f"source={source}", *settings)
    places = (f"data_root={remote_root}/data", f"serving_root={remote_root}/serving")
    first = run_pipeline(tmp_path, *arguments, *places)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "64 samples" in first.stdout
    assert ("31,008 rows without any image left out" in first.stdout) == source.startswith("dir:")
    (quarantine,) = (name for name in storage.list_tree(f"{remote_root}/data/examples") if name.endswith("quarantine.csv"))
    text = storage.read_bytes(f"{remote_root}/data/examples/{quarantine}").decode()
    assert list(csv.reader(io.StringIO(text))) == [["id", "reason"]]
    assert f"Pushed model: {remote_root}/serving/hpa/1" in first.stdout
    assert storage.exists(f"{remote_root}/serving/hpa/1/saved_model.pb")
    assert json.loads(storage.read_bytes(f"{remote_root}/serving/hpa/champion.json"))["version"] == 1
    assert storage.list_names(f"{remote_root}/data") == ["evaluation", "examples", "raw", "training"]

    again = run_pipeline(tmp_path, *arguments, *places)
    assert again.returncode == 0, again.stdout + again.stderr
    for said in ("these examples already exist", "is already trained", "is already evaluated", "already exists"):
        assert said in again.stdout
    assert storage.list_names(f"{remote_root}/serving/hpa") == ["1", "champion.json"]
    assert not (tmp_path / "data").exists()
    for step in load_steps():
        assert f": {step}" in again.stdout


def test_a_missing_table_of_a_source_in_an_object_store_is_named(remote_root: str, tmp_path: Path) -> None:
    source = f"dir:{remote_root}/nothing"
    process = run_pipeline(tmp_path, f"source={source}", f"data_root={remote_root}/data")
    assert process.returncode == 1
    assert f"ingest failed: FileNotFoundError: {remote_root}/nothing/train.csv: expected the table of labels" in process.stderr
