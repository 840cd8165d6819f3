import json
from pathlib import Path

import pytest

from components import storage
from components.conclude.outcome import Outcome, record


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED"])
def test_steps_that_ended_well_need_no_message(state: str, tmp_path: Path) -> None:
    outcome = Outcome.of(state, None, "hpa-pipeline-abc12", "run-1")
    path = Path(record(outcome, str(tmp_path)))
    assert path.parent == tmp_path / "runs"
    assert path.name == f"{outcome.ended}-succeeded-run-1.json"
    written = json.loads(path.read_text())
    assert (written["succeeded"], written["run_name"], written["message"]) == (True, "hpa-pipeline-abc12", "")


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "RUNNING", "STATE_UNSPECIFIED", ""])
def test_whatever_else_they_ended_in_is_a_failure_with_a_message(state: str, tmp_path: Path) -> None:
    outcome = Outcome.of(state, None, "hpa-pipeline-abc12", "run-1")
    assert not outcome.succeeded
    assert f"the steps ended in the state {state};" in outcome.message
    assert "-failed-" in record(outcome, str(tmp_path))


def test_kubeflows_message_is_kept() -> None:
    assert Outcome.of("FAILED", "no node", "hpa-pipeline-abc12", "run-1").message == "no node"


def test_runs_are_listed_in_the_order_in_which_they_ended(tmp_path: Path) -> None:
    for hour, state in (("02", "SUCCEEDED"), ("01", "FAILED")):
        outcome = Outcome("run", "name", state == "SUCCEEDED", state, "", f"2026-01-01T{hour}-00-00Z")
        record(outcome, str(tmp_path))
    names = sorted(path.name for path in (tmp_path / "runs").glob("*.json"))
    assert names == ["2026-01-01T01-00-00Z-failed-run.json", "2026-01-01T02-00-00Z-succeeded-run.json"]


def test_an_object_store_gets_it_too(emulated_root: str) -> None:
    uri = record(Outcome.of("FAILED", None, "hpa-pipeline-abc12", "run-1"), emulated_root)
    assert uri.startswith(f"{emulated_root}/runs/")
    assert json.loads(storage.read_bytes(uri))["state"] == "FAILED"
