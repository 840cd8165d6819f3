import json
import re
from pathlib import Path

import pytest

from components import storage
from pipeline.compiled import load_steps
from tests.pipeline.commands.conftest import PLACES, Ask, only
from tests.pipeline.conftest import config_map
from tests.pipeline.kfp_server import KfpServer
from tests.pipeline.preflight.loopback import Answer, Loopback

# The pods of the recorded failed run.
PODS = "/api/v1/namespaces/kubeflow/pods"
POD = "hpa-pipeline-lxvgb-retry-system-container-impl-4143035133"
OTHER_POD = "hpa-pipeline-lxvgb-retry-system-container-impl-183767312"
COMMAND = (
    "  kubectl -n kubeflow get pods -o name -l workflows.argoproj.io/workflow=hpa-pipeline-lxvgb"
    " | grep -e '-4143035133$' | xargs kubectl -n kubeflow logs -c main --tail=40\n"
)


def _rows(output: str, header: str) -> list[list[str]]:
    """The cells of a table's rows."""
    lines = output.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    return [re.split(r" {2,}", line.strip()) for line in lines[start + 1 :]]


def _pods(*names: str) -> Answer:
    return Answer(body={"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": name}} for name in names]})


def test_runs_are_listed_newest_first_with_their_states(server: KfpServer, ask: Ask) -> None:
    assert "There are no runs" in ask("runs", "list").output
    assert ask("runs", "list", "--json").output == "[]\n"
    assert "There is no run yet" in ask("runs", "show").stderr
    server.page_size = 20
    for name, state in (("old", "SUCCEEDED"), ("newer", "FAILED"), ("newest", "RUNNING")):
        server.run_state = state
        ask("submit", *PLACES, "--name", name)
    ask("schedule", "create", "--every", "7d", "--name", "weekly", *PLACES)
    list(server.runs.values())[1]["recurring_run_id"] = only(server.recurring_runs)["recurring_run_id"]
    newest, newer, old = _rows(ask("runs", "list").output, "Run ")
    assert [row[-1] for row in (newest, newer, old)] == list(server.runs)[::-1]
    assert old[:4] == ["old", "succeeded", "2026-11-28 19:50", "6 min 25 s"]
    assert newer[:5] == ["newer", "failed in train", "2026-11-28 19:42", "7 min 34 s", "weekly"]
    assert re.fullmatch(r"train has waited \d+ h \d+ min to start", newest[1])


def test_runs_are_listed_as_json(server: KfpServer, ask: Ask) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES, "--name", "weekly 7")
    only(server.runs)["recurring_run_id"] = "of a schedule that is deleted"
    (run,) = json.loads(ask("runs", "list", "--json").output)
    run_id = only(server.runs)["run_id"]
    assert run == {
        "id": run_id,
        "name": "weekly 7",
        "state": "FAILED",
        "step": "train",
        "attempts": 2,
        "waiting_s": 0,
        "started": "2026-11-28T19:42:15+00:00",
        "finished": "2026-11-28T19:49:49+00:00",
        "duration_s": 454,
        "schedule": "of a schedule that is deleted",
        "page": f"{server.address}/#/runs/details/{run_id}",
    }


def test_a_run_is_shown_with_the_attempts_and_times_of_its_steps(server: KfpServer, ask: Ask) -> None:
    ask("submit", *PLACES, "--name", "good")
    shown = ask("runs", "show").output
    assert "good: succeeded, since 2026-11-28 19:50, for 6 min 25 s\n" in shown
    assert "source=synthetic:450" in shown
    rows = _rows(shown, "Step ")
    assert [row[0] for row in rows] == list(load_steps())
    assert rows[0] == ["ingest", "succeeded", "2026-11-28 19:50", "1", "10 s"]
    assert rows[2] == ["train", "succeeded", "2026-11-28 19:51", "2", "24 s", "3 min 42 s"]
    assert "good: succeeded" in ask("runs", "show", next(iter(server.runs))).output
    unknown = ask("runs", "show", "nothing")
    assert unknown.exit_code == 1
    assert "404, ResourceNotFoundError: nothing not found" in unknown.stderr


def test_a_waiting_step_shows_its_time_and_the_command_for_the_reason(server: KfpServer, ask: Ask) -> None:
    server.run_state = "RUNNING"
    ask("submit", *PLACES)
    shown = ask("runs", "show").output
    assert re.search(r"^train +pending +2026-11-28 19:51 +1 +\d+ h \d+ min +\d+ h \d+ min so far *$", shown, re.MULTILINE)
    assert re.search(r"^evaluate +not yet run *$", shown, re.MULTILINE)
    assert "kubectl -n kubeflow get events --field-selector reason=FailedScheduling" in shown


def test_a_failed_step_shows_the_end_of_its_last_pods_log(
    server: KfpServer, ask: Ask, kubeconfig: Path, loopback: Loopback
) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES)
    loopback.answers[PODS] = _pods(OTHER_POD, POD)
    loopback.answers[f"{PODS}/{POD}/log"] = Answer(body="train | started\nMemoryError: [no] room\n")
    shown = ask("runs", "show").output
    assert re.search(r"^push +not run *$", shown, re.MULTILINE)
    assert shown.endswith("The end of the log of train, attempt 2:\ntrain | started\nMemoryError: [no] room\n")
    assert [request.query for request in loopback.requests] == [
        "labelSelector=workflows.argoproj.io%2Fworkflow%3Dhpa-pipeline-lxvgb",
        "container=main&tailLines=40",
    ]


def test_the_log_of_a_deleted_pod_is_read_from_the_object_store(
    server: KfpServer, ask: Ask, kubeconfig: Path, loopback: Loopback, emulated_root: str
) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES)
    folder = f"{emulated_root}/hpa-pipeline/{only(server.runs)['run_id']}/train"
    storage.write_bytes(f"{folder}/1/executor-logs", b"first\n" * 50)
    storage.write_bytes(f"{folder}/2/executor-logs", b"second\n" * 50)
    storage.write_bytes(f"{folder}/2/model", b"none")
    loopback.answers[PODS] = _pods()
    loopback.answers["/api/v1/namespaces/kubeflow/configmaps/kfp-launcher"] = config_map(defaultPipelineRoot=emulated_root)
    assert ask("runs", "show").output.endswith("The end of the log of train, attempt 2:\n" + "second\n" * 40)


def test_an_unreadable_log_is_replaced_by_the_command_that_shows_it(
    server: KfpServer, ask: Ask, kubeconfig: Path, loopback: Loopback
) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES)
    loopback.answers[PODS] = _pods(OTHER_POD)
    gone = ask("runs", "show").output
    assert "cannot be read from here: cells-cluster has no pod of it in the namespace kubeflow." in gone
    assert COMMAND in gone
    loopback.answers[PODS] = Answer(403, {"message": "no"})
    assert "you may not read pods and their logs in the namespace kubeflow on cells-cluster" in ask("runs", "show").output


def test_a_step_without_a_pod_has_its_drivers_log_on_the_page(server: KfpServer, ask: Ask) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES)
    tasks = only(server.runs)["run_details"]["task_details"]
    next(task for task in tasks if task["display_name"] == "ingest-driver")["state"] = "FAILED"
    assert "ingest had no pod: its driver failed. The driver's log is on the run's page" in ask("runs", "show").output


def test_without_a_kubeconfig_the_command_is_printed(server: KfpServer, ask: Ask) -> None:
    server.run_state = "FAILED"
    ask("submit", *PLACES)
    shown = ask("runs", "show", "--namespace", "me").output
    assert "there is nothing usable in the kubeconfig" in shown
    assert COMMAND.replace("-n kubeflow", "-n me") in shown
    assert shown.endswith("Later, it is on the run's page: the artifact executor-logs of train.\n")


def test_the_token_comes_from_the_environment_and_is_never_shown(
    server: KfpServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "s3cret-token"
    refused = ask("runs", "list")
    assert refused.exit_code == 1
    assert (
        f"{server.address}: 401, Unauthenticated. You are not signed in: put a token into KFP_EXISTING_TOKEN" in refused.stderr
    )
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "s3cret-token")
    assert ask("runs", "list").exit_code == 0
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "another-s3cret")
    assert "s3cret" not in ask("runs", "list").output


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_unreachable_server_is_named_with_advice(ask: Ask, host: str) -> None:
    refused = ask("runs", "list", "--host", host)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{host} cannot be reached: ")
    assert "kubectl port-forward" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
