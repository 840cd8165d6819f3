"""The steps of runs as described by a real Kubeflow Pipelines 2.17.0."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from kfp_server_api import ApiClient, V2beta1Run

from pipeline.cluster_steps import Step, failed_step, read_steps
from pipeline.compiled import load_steps

RUNS = json.loads(Path(__file__).with_name("kfp_runs.json").read_text(encoding="utf-8"))["runs"]
NOW = datetime.datetime(2026, 11, 28, 20, tzinfo=datetime.UTC)


class _Response:
    def __init__(self, content: Any) -> None:
        self.data = json.dumps(content)


def _steps(run: dict[str, Any]) -> dict[str, Step]:
    parsed = ApiClient().deserialize(_Response(run), V2beta1Run)
    return {step.name: step for step in read_steps(parsed, load_steps())}


@pytest.fixture
def succeeded() -> dict[str, Any]:
    return json.loads(json.dumps(RUNS[0]))


def test_attempts_are_counted_for_their_own_step(succeeded: dict[str, Any]) -> None:
    steps = _steps(succeeded)
    assert list(steps) == list(load_steps())
    assert {name: [attempt.state for attempt in step.attempts] for name, step in steps.items()} == {
        "ingest": ["SUCCEEDED"],
        "convert": ["SUCCEEDED"],
        "train": ["FAILED", "SUCCEEDED"],
        "evaluate": ["SUCCEEDED"],
        "push": ["SUCCEEDED"],
    }
    train = steps["train"]
    assert train.started
    assert train.ended
    assert (train.ended - train.started).total_seconds() == 222
    assert train.waited(NOW).total_seconds() == 24  # 12 s for each attempt until its containers were seen running
    assert not steps["ingest"].waited(NOW)  # it was never seen running
    assert failed_step(steps.values()) is None


def test_skipped_steps_have_no_state_and_no_times() -> None:
    steps = _steps(RUNS[1])
    failed = failed_step(steps.values())
    assert failed == steps["train"]
    assert [attempt.state for attempt in steps["train"].attempts] == ["FAILED", "FAILED"]
    assert steps["train"].node_id == "hpa-pipeline-lxvgb-4143035133"
    assert (steps["evaluate"], steps["push"]) == (Step("evaluate"), Step("push"))


def test_a_step_whose_driver_failed_has_failed_without_a_pod() -> None:
    run = json.loads(json.dumps(RUNS[1]))
    for task in run["run_details"]["task_details"]:
        if task["display_name"] == "evaluate-driver":
            task["state"] = "FAILED"
        if task["display_name"] == "train":
            task["state"] = "SUCCEEDED"
    failed = failed_step(_steps(run).values())
    assert failed
    assert (failed.name, failed.attempts, failed.node_id) == ("evaluate", (), "")


def test_attempts_are_found_if_only_retried_tasks_have_them(succeeded: dict[str, Any]) -> None:
    """As with Argo's own defaults, under which no other template is retried."""
    tasks = succeeded["run_details"]["task_details"]
    names = {f"{name}{suffix}" for name in load_steps() for suffix in ("(0)", "-driver(0)")} | {"root(0)", "root-driver(0)"}
    tasks[:] = [task for task in tasks if task["display_name"] not in names]
    assert len(_steps(succeeded)["train"].attempts) == 2


def test_a_step_with_a_waiting_pod_is_pending(succeeded: dict[str, Any]) -> None:
    tasks = succeeded["run_details"]["task_details"]
    for task in tasks:
        if task["display_name"] in ("train", "executor(1)"):
            task["end_time"] = "1970-01-01T00:00:00Z"
            task["state"] = "PENDING" if task["display_name"] == "executor(1)" else "RUNNING"
            task["state_history"] = [{"update_time": task["start_time"], "state": task["state"]}]
    tasks[:] = [task for task in tasks if task["start_time"] <= "2026-11-28T19:52:37Z"]
    steps = _steps(succeeded)
    assert (steps["train"].state, steps["train"].ended) == ("PENDING", None)
    assert steps["train"].attempts[1].waited(NOW) == NOW - datetime.datetime(2026, 11, 28, 19, 52, 37, tzinfo=datetime.UTC)
    assert steps["push"] == Step("push")


def test_a_run_that_has_not_begun_has_no_steps_yet() -> None:
    assert _steps({"state": "PENDING"}) == {name: Step(name) for name in load_steps()}
