"""The page of a local run, from the files that KFP's runner writes."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from markupsafe import Markup

from components.evaluate import metrics as evaluate
from components.reports.page import EXAMPLES, Section, render_page
from pipeline.compiled import PIPELINE_YAML, load_steps, step_tasks
from pipeline.local_run import BASELINE_TITLES, Figure, LocalRun
from pipeline.run_page import write_run_page
from pipeline.run_record import RunRecord

SPEC = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))
PARAMETERS = SPEC["root"]["inputDefinitions"]["parameters"]
LINEAGE: dict[str, Any] = {
    "fingerprint": "0123456789abcdef",
    "inputs": {"examples": "fedcba9876543210"},
    "parameters": {"seed": 0, "learning_rate": 0.001},
    "code_version": "0.1.0",
    "source": "dir:cells",
    "licence": "CC BY-SA",
}
OWN: dict[str, dict[str, Any]] = {
    "raw_images": {"num_samples": 31072, "num_bytes": 5_000_000, "num_without_files": 0, "num_incomplete": 7, "version": 0},
    "examples": {"num_train": 24858, "num_validation": 3107, "num_test": 3107},
    "model": {"epochs_trained": 12, "best_epoch": 9, "metrics": {"loss": 0.1}},
    "metrics": {"f1_macro": 0.4512, "f1_micro": 0.6, "accuracy": 0.97},
    "blessing": {
        "baselines": {
            "always_no": {"f1_macro": 0.0, "f1_micro": 0.0, "accuracy": 0.942},
            "class_prior": {"f1_macro": 0.096, "f1_micro": 0.105, "accuracy": 0.938},
        },
        "references": {"three_commonest": {"f1_macro": 0.107, "f1_micro": 0.101, "accuracy": 0.961}},
    },
    "evaluation_report": {},
    "class_metrics": {"confidenceMetrics": [{"confidenceThreshold": 0.5}] * 100, "confusionMatrix": {"rows": []}},
    "pushed_model": {"pushed": True, "version": 2, "version_uri": "/serving/hpa/2"},
}


def make_run(folder: Path, steps: tuple[str, ...], reused: tuple[str, ...] = (), **pushed: Any) -> RunRecord:
    """Writes the files of a run in which these steps have finished."""
    record = RunRecord({"source": "dir:<cells>", "data_root": "/data", "serving_root": "/serving", "epochs": 12})
    for step in steps:
        record.record_line(step)
        place = folder / "hpa-pipeline" / step
        place.mkdir(parents=True)
        executed = {}
        for name in SPEC["components"][step_tasks(SPEC)[step]["componentRef"]["name"]]["outputDefinitions"]["artifacts"]:
            said = OWN.get(name, {}) | (pushed if name == "pushed_model" else {})
            (place / name).write_text(json.dumps(said), encoding="utf-8")
            metadata = LINEAGE | said | {"reused": step in reused}
            executed[name] = {"artifacts": [{"name": name, "uri": str(place / name), "metadata": metadata}]}
        (place / "executor_output.json").write_text(json.dumps({"artifacts": executed}), encoding="utf-8")
    (folder / "run.log").touch()
    return record


def _write(folder: Path, record: RunRecord) -> str:
    page = write_run_page(folder, SPEC, record).read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"', page)
    assert [link for link in links if not link.startswith("#") and not (folder / link).exists()] == []
    assert {link[1:] for link in links if link.startswith("#") and f'id="{link[1:]}"' in page} <= set(load_steps())
    assert not re.search(r'(src|href)="https?:', page)  # it loads nothing over the network
    return page


def _looks(page: str) -> list[str]:
    return re.findall(r'<g class="step (\w+)">', page)


def test_each_metric_is_shown_beside_its_highest_baseline(tmp_path: Path) -> None:
    record = make_run(tmp_path, load_steps())
    record.end("done")
    assert LocalRun(tmp_path).figures() == [
        Figure("F1, macro average", 0.4512, 0.096, "class frequencies"),
        Figure("F1, micro average", 0.6, 0.105, "class frequencies"),
        Figure("Accuracy at 0.5", 0.97, 0.942, "predicting nothing"),
    ]
    page = _write(tmp_path, record)
    for text in ("0.096", "class frequencies", "predicting nothing"):
        assert text in page
    assert "3 commonest" not in page


def test_the_baselines_have_the_same_titles_as_in_evaluate() -> None:
    assert evaluate.BASELINE_TITLES == BASELINE_TITLES


def test_the_page_names_the_pushed_model_and_the_reused_steps(tmp_path: Path) -> None:
    record = make_run(tmp_path, load_steps(), reused=("ingest", "convert"))
    record.end("done")
    page = _write(tmp_path, record)
    assert _looks(page) == ["reused", "reused", "new", "new", "new"]
    assert "Pushed model: /serving/hpa/2" in page
    for figure in ("31,072 samples", "31,072 examples", "epoch 9 of 12", "macro F1 0.451", "version 2"):
        assert figure in page
    assert "0123456789abcdef" in page
    assert "seed=0, learning_rate=0.001" in page
    assert not re.search("confidenceThreshold|confusionMatrix", page)
    assert "dir:&lt;cells&gt;" in page
    for report in ("data_report", "training_report", "evaluation_report"):
        assert (tmp_path / f"{report}.html").is_file()
    assert LocalRun(tmp_path).reused_steps() == ["ingest", "convert"]


def test_details_have_readable_names_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    page = _write(tmp_path, make_run(tmp_path, load_steps()))
    details = dict(re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", page))
    assert details["samples without some of the stains"] == "7"
    assert details["size"] == "5.0 MB"
    assert details["training examples"] == "24,858"
    assert not {"", "rows without any image", "reused"} & details.keys()
    assert details["version"] == "2"  # the model's version: that of the source is 0
    assert not [name for name in details if "num " in name or ("_" in name and name not in PARAMETERS)]


def test_the_page_shows_the_predicted_images_and_the_summary_of_the_evaluation(tmp_path: Path) -> None:
    record = make_run(tmp_path, load_steps())
    record.end("done")
    place = tmp_path / "hpa-pipeline" / "evaluate"
    images = Section("Predicted <images>", Markup("<img alt='found'>"), "red is wrong", EXAMPLES)
    (place / "evaluation_report").write_text(render_page("", "", [images, Section("Rest", Markup("the rest"))]))
    summary = {"Recognised reliably": "1 of 2 classes: Rods & rings"}
    (place / "blessing").write_text(json.dumps(OWN["blessing"] | {"summary": summary}))
    page = _write(tmp_path, record)
    titles = ["The result", "Predicted &lt;images&gt;", "The steps", "Details"]
    assert re.findall(r"<h2>(.*?)</h2>", page) == titles
    assert "<img alt='found'>" in page
    assert "the rest" not in page
    assert "<th>Recognised reliably</th><td>1 of 2 classes: Rods &amp; rings</td>" in page


def test_the_page_of_an_unchanged_run_says_that_the_champion_stays(tmp_path: Path) -> None:
    record = make_run(tmp_path, load_steps(), reused=load_steps(), pushed=False)
    record.end("done")
    page = _write(tmp_path, record)
    assert _looks(page) == ["reused"] * len(load_steps())
    assert "Unchanged: version 2 stays the champion. Nothing was pushed." in page


def test_a_single_sample_is_singular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OWN, "raw_images", {"num_samples": 1, "num_bytes": 5})
    page = _write(tmp_path, make_run(tmp_path, load_steps()))
    assert "1 sample" in page
    assert "1 samples" not in page


def test_the_page_gives_the_reasons_for_not_pushing(tmp_path: Path) -> None:
    record = make_run(tmp_path, load_steps())
    (tmp_path / "hpa-pipeline" / "push" / "pushed_model").write_text('{"pushed": false, "reasons": ["a", "b"]}')
    (tmp_path / "hpa-pipeline" / "evaluate" / "blessing").write_text(json.dumps(OWN["blessing"] | {"champion_version": 4}))
    record.end("done")
    assert "No model pushed (version 4 stays the champion): a; b" in _write(tmp_path, record)


@pytest.mark.parametrize(("status", "title"), [("failed", "Failed in train"), ("stopped", "Stopped in train")])
def test_the_page_names_the_step_and_the_error_that_ended_a_run(tmp_path: Path, status: str, title: str) -> None:
    record = make_run(tmp_path, ("ingest", "convert"))
    record.record_line("train")
    record.end(status, "MemoryError: <none> left", "train")
    page = _write(tmp_path, record)
    assert _looks(page) == ["new", "new", "failed", "waiting", "waiting"]
    assert title in page
    assert "MemoryError: &lt;none&gt; left" in page
    assert "not reached" in page


def test_the_page_shows_an_error_before_the_first_step(tmp_path: Path) -> None:
    record = make_run(tmp_path, ())
    record.end("failed", "no room")
    page = _write(tmp_path, record)
    assert _looks(page) == ["waiting"] * len(load_steps())
    assert "no room" in page


def test_the_duration_of_a_step_is_shown(tmp_path: Path) -> None:
    record = make_run(tmp_path, ("ingest",))
    began_s = time.time()
    record.started_s, record.steps["ingest"].started_s, record.steps["ingest"].ended_s = began_s, began_s, began_s + 125
    record.end("failed")
    assert "2 min 5 s" in _write(tmp_path, record)
