"""Local runs of the committed pipeline.yaml with the real network: every step, every declared output."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from components.artifacts.labels import format_target
from components.synthetic.samples import render_sample
from pipeline.compiled import PIPELINE_YAML, ROOT, load_steps
from pipeline.local_run import BASELINE_TITLES
from tests.pipeline.conftest import run_pipeline

# The name of the folder of images, and the initial number of samples in it.
IMAGES, NUM_SAMPLES = "cells", 24
SMALL = ["image_size_px=75", "weights=none", "epochs=1"]


def _draw(folder: Path, first: int, last: int) -> None:
    """Adds synthetic samples to a folder in the competition's layout."""
    folder.mkdir(exist_ok=True)
    with (folder / "train.csv").open("a", encoding="utf-8") as table:
        if first == 0:
            table.write("Id,Target\n")
        for number in range(first, last):
            sample = render_sample(0, number)
            table.write(f"{sample.sample_id},{format_target(sample.labels)}\n")
            for name, png in sample.pngs.items():
                (folder / f"{sample.sample_id}_{name}.png").write_bytes(png)


def _no_weights(folder: Path) -> Path:
    """A file that train refuses as weights."""
    path = folder / "no-weights.h5"
    path.write_bytes(b"nothing")
    return path


def _runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").iterdir())


def _output(run: Path, step: str, name: str) -> Path:
    (path,) = run.glob(f"*/{step}/{name}")
    return path


def _assert_every_declared_output_is_there(run: Path) -> None:
    spec = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))
    for step in load_steps():
        executed = json.loads(_output(run, step, "executor_output.json").read_text())["artifacts"]
        for name in spec["components"][f"comp-{step}"]["outputDefinitions"]["artifacts"]:
            path = _output(run, step, name)
            files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
            assert files, f"{step}: {name} has no file"
            assert sum(file.stat().st_size for file in files) > 0, f"{step}: {name} is empty"
            metadata = executed[name]["artifacts"][0]["metadata"]
            assert metadata, f"{step}: {name} has no metadata"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("run")
    _draw(folder / IMAGES, 0, NUM_SAMPLES)
    return folder, run_pipeline(folder, *_scheduled(folder))


def _scheduled(folder: Path) -> list[str]:
    """The arguments of a repeated run.

    The rule is relaxed so that a model trained for one epoch is pushed: its quality is not tested here.
    """
    return [f"source=dir:{folder / IMAGES}", "blessing_min_gain=-1", "warm_start=true", *SMALL]


@pytest.mark.slow
@pytest.mark.xdist_group("repeated runs")
class TestRepeatedRuns:
    """Repeated runs on synthetic images, as by a schedule. The last test adds images."""

    def test_all_steps_succeed_and_write_every_declared_output(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        folder, process = finished
        assert process.returncode == 0, process.stdout + process.stderr
        _assert_every_declared_output_is_there(_runs(folder)[0])

    def test_the_output_shows_steps_progress_and_metrics_with_baselines(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        folder, process = finished
        shown = process.stdout
        for number, step in enumerate(load_steps(), start=1):
            assert f"step {number}/5: {step}" in shown
        assert re.search(rf"{NUM_SAMPLES}/{NUM_SAMPLES} samples, 100 %, .* ETA 00:00", shown)
        for title in ("F1, macro average", "Accuracy at 0.5"):
            assert re.search(rf"{title} +0\.\d{{3}} +0\.\d{{3}} +({'|'.join(BASELINE_TITLES.values())})", shown)
        assert "<h1>Evaluation report</h1>" in (_runs(folder)[0] / "evaluation_report.html").read_text()

    def test_the_pushed_model_classifies_png_files(self, finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        folder, process = finished
        (version,) = re.findall(r"Pushed model: (.*)", process.stdout)
        assert Path(version) == folder / "serving" / "hpa" / "1"
        image = next((folder / "data" / "raw").glob("*/images/*_green.png"))
        files = {
            name: tf.constant([image.with_name(image.name.replace("green", name)).read_bytes()])
            for name in ("red", "green", "blue")
        }
        answer = tf.saved_model.load(version).signatures["serving_default"](**files)
        thresholds = json.loads(_output(_runs(folder)[0], "evaluate", "thresholds").read_text())["thresholds"]
        assert answer["probabilities"].shape == (1, 28)
        assert (answer["decisions"].numpy() == (answer["probabilities"].numpy() >= tf.constant(thresholds).numpy())).all()

    def test_the_page_shows_the_graph_and_artifacts_and_links_to_the_reports(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        run = _runs(finished[0])[0]
        assert finished[1].stdout.splitlines()[-3:] == [
            f"Predicted images, right and wrong, and all reports: {run}/run.html",
            f"Try the model in a browser: python -m pipeline serve --model {finished[0]}/serving/hpa",
            "Train on your own images: docs/tutorials/own-images.md",
        ]
        page = (run / "run.html").read_text()
        assert page.count('<g class="step new">') == len(load_steps())
        assert "Pushed model: " in page
        assert "<h2>Predicted images, right and wrong</h2>" in page
        links = re.findall(r'href="([^"#]+)"', page)
        assert {"evaluation_report.html", "training_report.html", "data_report.html", "run.log"} <= set(links)
        assert [link for link in links if not (run / link).exists()] == []

    def test_the_metadata_of_every_artifact_is_small_and_leads_back_to_the_images(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        run = _runs(finished[0])[0]
        metadata = {}
        for step in load_steps():
            for name, output in json.loads(_output(run, step, "executor_output.json").read_text())["artifacts"].items():
                metadata[name] = output["artifacts"][0]["metadata"]
                own = {name: value for name, value in metadata[name].items() if name != "confidenceMetrics"}
                assert len(json.dumps(own)) < 4000, f"{step}: {name}"
                assert metadata[name].keys() >= {"fingerprint", "inputs", "parameters", "code_version", "source", "licence"}
        fingerprints = {name: said["fingerprint"] for name, said in metadata.items()}
        assert metadata["pushed_model"]["inputs"] == {
            "model": fingerprints["model"],
            "evaluation": fingerprints["evaluation_report"],
        }
        assert metadata["blessing"]["inputs"] == {"model": fingerprints["model"], "examples": fingerprints["examples"]}
        assert metadata["model"]["inputs"] == {"examples": fingerprints["examples"]}
        assert metadata["examples"]["inputs"] == {"raw_images": fingerprints["raw_images"]}
        assert metadata["class_metrics"]["confusionMatrix"]["rows"]
        assert metadata["class_metrics"]["confidenceMetrics"]
        assert 0 <= metadata["metrics"]["f1_macro"] <= 1

    def test_lineage_leads_from_the_run_and_the_pushed_model_to_the_source(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        folder, _ = finished
        for target in (_runs(folder)[0], folder / "serving" / "hpa" / "1"):
            command = [sys.executable, "-m", "pipeline", "lineage", str(target), "--pipeline-root", str(folder)]
            process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert process.returncode == 0, process.stdout + process.stderr
            links = ["pushed model", "evaluation", "training", "examples", "raw images", "source"]
            assert re.findall(rf"^ *({'|'.join(links)})[: ]", process.stdout, re.MULTILINE) == links

    def test_unchanged_outputs_are_reused_and_nothing_is_pushed(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
    ) -> None:
        folder, _ = finished
        relative = Path("..") / Path(*[".."] * len(ROOT.parts)) / (folder / "data").relative_to("/")
        process = run_pipeline(
            tmp_path,
            *_scheduled(folder),
            f"data_root={relative}",
            f"serving_root={folder}/serving",
        )
        assert process.returncode == 0, process.stdout + process.stderr
        for said in ("these examples already exist", "is already trained", "is already evaluated", "already exists"):
            assert said in process.stdout
        assert "Unchanged: version 1 stays the champion. Nothing was pushed." in process.stdout
        assert f"Reused, as their inputs have not changed: {', '.join(load_steps())}" in process.stdout
        assert sorted(path.name for path in (folder / "serving" / "hpa").glob("[!.]*")) == ["1", "champion.json"]
        assert (_runs(tmp_path)[0] / "run.html").read_text().count('<g class="step reused">') == len(load_steps())
        _assert_every_declared_output_is_there(_runs(tmp_path)[0])

    def test_a_changed_model_parameter_reuses_the_data(self, finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
        folder, _ = finished
        source = f"source=dir:{folder / IMAGES}"
        process = run_pipeline(folder, source, *SMALL, "weights=/nowhere.h5")
        assert process.returncode == 1
        assert "weights is given twice" in process.stderr
        assert "weights: expected imagenet, none or a file" in run_pipeline(folder, source, "weights=/nowhere.h5").stderr
        process = run_pipeline(folder, source, "image_size_px=75", "epochs=1", f"weights={_no_weights(folder)}")
        assert process.returncode == 1
        assert "these examples already exist" in process.stdout
        last_lines = process.stderr.strip().splitlines()
        assert last_lines[0].startswith("train failed: ValueError: ")
        assert "no-weights.h5 does not fit inception_resnet_v2: it is not a Keras weights file" in last_lines[0]
        assert last_lines[-1].startswith("Its whole output: ")
        page = (_runs(folder)[-1] / "run.html").read_text()
        assert "Failed in train" in page
        assert "no-weights.h5 does not fit inception_resnet_v2" in page
        looks = re.findall(r'<g class="step (\w+)">', page)
        assert looks == ["reused", "reused", "failed", "waiting", "waiting"]

    @pytest.mark.long
    def test_only_new_samples_are_transferred_and_training_starts_from_the_champion(
        self, finished: tuple[Path, subprocess.CompletedProcess[str]]
    ) -> None:
        """A scheduled run transfers only new samples, and training starts from the champion."""
        folder, _ = finished
        stored = {path: path.stat().st_mtime_ns for path in (folder / "data" / "raw").glob("*/images/*.png")}
        _draw(folder / IMAGES, NUM_SAMPLES, NUM_SAMPLES + 6)
        process = run_pipeline(folder, *_scheduled(folder))
        assert process.returncode == 0, process.stdout + process.stderr
        assert len(list((folder / "data" / "raw").glob("*/images/*.png"))) == 4 * (NUM_SAMPLES + 6)
        assert all(path.stat().st_mtime_ns == written for path, written in stored.items())
        assert "training starts from version 1 of the served model" in process.stdout
        assert "compared with the champion (version 1)" in process.stdout
        assert f"Pushed model: {folder}/serving/hpa/2" in process.stdout
        versions = [folder / "serving" / "hpa" / number / "assets.extra" for number in ("1", "2")]
        old, new = (json.loads((version / "model.json").read_text()) for version in versions)
        assert new["inputs"]["champion"] == old["fingerprint"]
        seen = [set((version / "training_ids.txt").read_text().split()) for version in versions]
        assert seen[0] < seen[1]


@pytest.mark.slow
@pytest.mark.xdist_group("killed")
def test_a_killed_run_leaves_nothing_behind_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    arguments = ["source=synthetic:200", *SMALL]
    command = [sys.executable, "-m", "pipeline", "run", "--pipeline-root", str(tmp_path), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    images = tmp_path / "data" / "raw"
    deadline_s = time.monotonic() + 300
    while len(list(images.glob("*/images/*.png"))) < 40 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while _commands_with(str(tmp_path)) and time.monotonic() < deadline_s:
        time.sleep(0.5)
    assert not _commands_with(str(tmp_path))
    stored = {path: path.stat().st_mtime_ns for path in images.glob("*/images/*.png")}
    assert 40 <= len(stored) < 800
    # An invalid file ends this run after convert, as only ingest and convert are tested here.
    again = run_pipeline(tmp_path, "source=synthetic:200", "image_size_px=75", f"weights={_no_weights(tmp_path)}")
    assert "200 samples" in again.stdout
    assert "train failed" in again.stderr
    assert all(path.stat().st_mtime_ns == written for path, written in stored.items())
    assert len(list(images.glob("*/images/*.png"))) == 800
    assert not [path for path in temporary.iterdir() if path.name.startswith(("hpa-", "kfp-", "beam-"))]


def _commands_with(text: str) -> list[str]:
    """The command lines of processes that contain a text; empty on systems without /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and "pytest" not in command:
            found.append(command)
    return found
