"""Follows docs/tutorials/own-images.md: the whole pipeline on a folder with other classes, stains and file names."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.compiled import ROOT, load_parameters

_PAGE = (ROOT / "docs" / "tutorials" / "own-images.md").read_text(encoding="utf-8")
_COMMANDS = re.findall(r"^```bash\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
_CLASSES = ["nucleus", "membrane", "cytoplasm"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command of the page has been run, one after the other."""
    folder = tmp_path_factory.mktemp("own_data")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for commands in _COMMANDS:
        process = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, f"{commands}\n{process.stdout}\n{process.stderr}"
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.xdist_group("own data")
class TestPage:
    """The results of following the page."""

    def test_the_folder_is_as_the_page_shows_it(self, done: Path) -> None:
        shown = re.findall(r"^  (\S+\.(?:csv|png))$", _PAGE, re.MULTILINE)
        assert len(shown) == 6
        assert [name for name in shown if not (done / "my_images" / name).is_file()] == []
        assert (done / "my_images" / "classes.csv").read_text() in _PAGE

    def test_the_preview_and_the_reports_are_of_these_classes(self, done: Path) -> None:
        assert (done / "preview.png").stat().st_size > 0
        (run,) = (done / "outputs" / "runs").iterdir()
        for report in ("data_report", "training_report", "evaluation_report"):
            page = (run / f"{report}.html").read_text(encoding="utf-8")
            assert "Nucleoplasm" not in page
            assert report == "training_report" or all(name in page for name in _CLASSES)

    def test_the_pushed_model_has_the_classes(self, done: Path) -> None:
        model = done / "outputs" / "serving" / "hpa" / "1" / "assets.extra" / "model.json"
        assert json.loads(model.read_text())["class_names"] == _CLASSES

    def test_every_sample_is_predicted_and_decisions_are_names(self, done: Path) -> None:
        predicted = _rows(done / "predictions.csv")
        assert list(predicted[0]) == ["Id", "Decisions", *_CLASSES]
        labelled = _rows(done / "my_images" / "train.csv")
        assert [row["Id"] for row in predicted] == [row["Id"] for row in labelled]
        assert {name for row in predicted for name in row["Decisions"].split("; ")} <= {"", *_CLASSES}
        submitted = _rows(done / "predictions.submission.csv")
        assert {word for row in submitted for word in row["Predicted"].split()} <= {"0", "1", "2"}


def test_every_parameter_on_the_page_exists() -> None:
    (run,) = (commands for commands in _COMMANDS if "pipeline run" in commands)
    named = set(re.findall(r"[ \"]([a-z_]+)=", run))
    assert {"source", "file_pattern", "filters"} <= named
    assert named <= load_parameters().keys()
