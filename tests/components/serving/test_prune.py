import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import storage
from components.artifacts.manifest import Manifest
from components.serving.champion import Champion, crown
from pipeline.compiled import ROOT

# What was made from what: two examples, a training and an evaluation of each, and a training anew of the first.
_MADE = {
    "examples/e1": {"raw_images": "r"},
    "training/t1": {"examples": "e1"},
    "evaluation/v1": {"examples": "e1", "model": "t1"},
    "examples/e2": {"raw_images": "r"},
    "training/t2": {"examples": "e2"},
    "evaluation/v2": {"examples": "e2", "model": "t2"},
    "training/t3": {"examples": "e1"},
}


def _make(root: str) -> None:
    for name, inputs in _MADE.items():
        manifest = Manifest(fingerprint=name[-2:], inputs=inputs, parameters={}, source="dir:x", licence="")
        storage.write_bytes(storage.join(root, "data", name, "file"), b"")
        manifest.publish(storage.join(root, "data", name))
    storage.write_bytes(storage.join(root, "data", "examples", "begun", "file"), b"")
    storage.write_bytes(storage.join(root, "data", "raw", "x", "images", "a_red.png"), b"")


def _prune(root: str, *options: str) -> subprocess.CompletedProcess[str]:
    places = ["--data-root", f"{root}/data", "--serving-root", f"{root}/serving"]
    command = [sys.executable, "-m", "pipeline", "prune", *places, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _left(root: str) -> set[str]:
    kinds = ("examples", "training", "evaluation")
    return {f"{kind}/{name}" for kind in kinds for name in storage.list_names(f"{root}/data/{kind}")}


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Outputs of one second after the other."""
    _make(str(tmp_path))
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / ".DS_Store").touch()  # what other programs leave in a folder is no model
    for second, name in enumerate(_MADE):
        os.utime(tmp_path / "data" / name / "manifest.json", (second, second))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("served", "keep", "left"),
    [
        ("", 9, {*_MADE}),
        ("", 1, {"examples/e1", "examples/e2", "training/t3"}),
        ("", 0, set()),
        ("t1", 0, {"examples/e1", "training/t1", "evaluation/v1"}),
        ("t2", 1, {"examples/e1", "examples/e2", "training/t2", "training/t3", "evaluation/v2"}),
    ],
)
def test_the_newest_stay_and_what_the_champion_came_from(root: str, served: str, keep: int, left: set[str]) -> None:
    if served:
        crown(Champion(1, "", served, "v1", generation=""), f"{root}/serving", "hpa")
    process = _prune(root, "--keep", str(keep))
    assert process.returncode == 0, process.stderr
    assert _left(root) == left | {"examples/begun"}  # what is not complete may be somebody's work
    assert storage.exists(f"{root}/data/raw/x/images/a_red.png")
    assert f"{len(_MADE) - len(left)} of {len(_MADE)} outputs removed" in process.stdout


def test_a_dry_run_says_what_would_go_and_removes_nothing(root: str) -> None:
    process = _prune(root, "--keep", "0", "--dry-run")
    assert process.stdout.count("would remove") == len(_MADE)
    assert _left(root) == {*_MADE, "examples/begun"}


def test_an_object_store_is_pruned_too(emulated_root: str) -> None:
    _make(emulated_root)
    process = _prune(emulated_root, "--keep", "0")
    assert process.returncode == 0, process.stderr
    assert _left(emulated_root) == {"examples/begun"}


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    process = _prune("s3://bucket", "--keep", "1")
    assert (process.returncode, "data_root: expected a folder, or gs://" in process.stderr) == (1, True)
