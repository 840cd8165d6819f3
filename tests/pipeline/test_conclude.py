"""The last task of a run, by KFP's local runner: the committed pipeline.yaml with all of it."""

import contextlib
import io
import json
import warnings
from pathlib import Path

import pytest
import yaml
from kfp import components, local

from pipeline.compiled import PIPELINE_YAML, ROOT, step_tasks


def test_a_run_whose_first_step_fails_is_recorded_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spec, platform = yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8"))
    for task in step_tasks(spec).values():
        del task["retryPolicy"]  # with which KFP's runner would wait and try again
    arguments = {
        "source": f"dir:{tmp_path}/none",
        "data_root": str(tmp_path / "data"),
        "serving_root": str(tmp_path / "serving"),
    }
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said):
        warnings.simplefilter("ignore")  # KFP's, of what has no effect in a local run
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"), raise_on_error=False)
        components.load_component_from_text(yaml.safe_dump_all([spec, platform]))(**arguments)
    (record,) = (tmp_path / "data" / "runs").glob("*.json")
    outcome = json.loads(record.read_text())
    assert "-failed-" in record.name
    assert (outcome["succeeded"], outcome["state"]) == (False, "FAILED")
    assert outcome["run_id"] in record.name
    assert "conclude | THE RUN FAILED: " in said.getvalue()
    assert sorted(path.name for path in (tmp_path / "root").glob("*/*")) == ["conclude", "ingest"]
