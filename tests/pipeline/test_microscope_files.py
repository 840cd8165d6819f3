"""From a microscope's 16-bit files of two stains to predictions, on the command line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from components.artifacts.manifest import MODEL_MANIFEST, TrainedModel
from components.synthetic.samples import render_sample
from pipeline.compiled import ROOT

_NUM_SAMPLES = 48
_FILES = {"file_pattern": "{id}.ome.tif", "filters": "DNA=DAPI,protein=GFP"}


def _make_scans(folder: Path) -> None:
    """Images of two stains of different brightness with a camera offset, and a table with a group column."""
    folder.mkdir()
    rows = []
    for number in range(_NUM_SAMPLES):
        sample = render_sample(0, number)
        noise = np.random.default_rng(number)
        planes = []
        for colour, gain in (("green", 40), ("blue", 3)):
            grey = cv2.imdecode(np.frombuffer(sample.pngs[colour], np.uint8), cv2.IMREAD_UNCHANGED)
            planes.append(
                np.clip(100.0 + gain * cv2.resize(grey, (160, 160)).astype(float) + noise.normal(0, 5, (160, 160)), 0, 65535)
            )
        metadata = {"axes": "CYX", "Channel": {"Name": ["GFP", "DAPI"]}}
        path = folder / f"field {number:02d}.ome.tif"
        tifffile.imwrite(path, np.stack(planes).astype(np.uint16), ome=True, compression="lzw", metadata=metadata)
        rows.append([f"field {number:02d}", " ".join(map(str, sample.labels)), f"well {number // 2}"])
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Id", "Target", "Well"], *rows])


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_two_16_bit_stains_run_end_to_end(tmp_path: Path) -> None:
    """Scans of two stains in 16 bits go the whole way, from a table of wells to predictions."""
    _make_scans(tmp_path / "scans")
    given = [f"{name}={value}" for name, value in _FILES.items()]
    settings = ["channels=DNA,protein", "intensity_range=auto", "group_column=Well", "image_size_px=75"]
    _run(tmp_path, "run", "source=dir:scans", *given, *settings, "epochs=1", "weights=none", "backbone=convnext_tiny")
    (model,) = [path.parent for path in tmp_path.glob("outputs/data/training/*/*/model/saved_model.pb")]
    trained = TrainedModel.read(str(model / MODEL_MANIFEST))
    assert trained.channels == ["DNA", "protein"]
    assert [levels.partition(":")[0] for levels in trained.intensity_range.split(",")] == ["80", "0"]

    options = [f"--{name.replace('_', '-')}={value}" for name, value in _FILES.items()]
    _run(tmp_path, "predict", f"--model={model}", "--images=scans", "--html", *options)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert [row["Id"] for row in csv.DictReader(file)] == [f"field {number:02d}" for number in range(_NUM_SAMPLES)]
    assert "DNA" in (tmp_path / "predictions.html").read_text(encoding="utf-8")
