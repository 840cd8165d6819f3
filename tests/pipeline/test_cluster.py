"""The commands that talk to a cluster, by the real KFP client, against a server that knows KFP's published definition."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline import cluster
from pipeline.__main__ import app
from pipeline.cluster import version_name
from pipeline.compiled import PIPELINE_YAML
from tests.pipeline.kfp_server import KfpServer, Refused, check_model, running_kfp_server

PLACES = ("source=synthetic:450", "data_root=gs://bucket/hpa", "serving_root=gs://bucket/models")
VALUES = dict(argument.split("=") for argument in PLACES)

Ask = Callable[..., Result]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    for variable in (
        "KF_PIPELINES_ENDPOINT",
        "KF_PIPELINES_UI_ENDPOINT",
        "KFP_NAMESPACE",
        "KFP_EXISTING_TOKEN",
        "KFP_ENDPOINT",
        "KFP_HOST",
    ):
        monkeypatch.delenv(variable, raising=False)
    with running_kfp_server() as running:
        monkeypatch.setenv("KFP_HOST", running.address)
        yield running


@pytest.fixture
def ask(server: KfpServer) -> Ask:
    """Runs a command."""
    return lambda *words: CliRunner().invoke(app, words)


def _only(items: dict[str, dict]) -> dict:
    (item,) = items.values()
    return item


def test_the_server_of_these_tests_refuses_what_the_definition_does_not_know() -> None:
    check_model("V2beta1Run", {"display_name": "x", "runtime_config": {"parameters": {"a": 1}}})
    for wrong in ({"name": "x"}, {"display_name": 1}, {"state": "GONE"}, {"created_at": 3}, {"runtime_config": {"params": {}}}):
        with pytest.raises(Refused):
            check_model("V2beta1Run", wrong)


def test_a_run_is_submitted_with_its_version_and_its_parameters(server: KfpServer, ask: Ask) -> None:
    done = ask(
        "submit", *PLACES, "epochs=3", 'gpu_node_selector={"pool": "gpu"}', "--name", "first", "--service-account", "hpa"
    )
    assert done.exit_code == 0, done.output
    run, version = _only(server.runs), _only(server.versions)
    assert run["runtime_config"]["parameters"] == VALUES | {"epochs": 3, "gpu_node_selector": {"pool": "gpu"}}
    assert (run["display_name"], run["service_account"]) == ("first", "hpa")
    assert run["experiment_id"] == _only(server.experiments)["experiment_id"]
    assert _only(server.experiments)["display_name"] == "hpa"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert version["display_name"] == version_name(PIPELINE_YAML.read_text(encoding="utf-8"))
    assert _only(server.pipelines)["display_name"] == "hpa-pipeline"
    assert f"Its page: {server.address}/#/runs/details/{run['run_id']}" in done.output
    assert "the nodes must have them already" in done.output


def test_a_version_is_uploaded_once_and_another_beside_it(server: KfpServer, ask: Ask) -> None:
    assert "is uploaded" in ask("submit", *PLACES).output
    assert "was there already" in ask("submit", *PLACES).output
    for tag in ("1", "2", "3"):  # more than one page of the server's lists
        assert "is uploaded" in ask("submit", *PLACES, "--registry", "registry.example.com/hpa", "--tag", tag).output
    assert "was there already" in ask("submit", *PLACES, "--registry", "registry.example.com/hpa", "--tag", "3").output
    assert (len(server.pipelines), len(server.versions), len(server.experiments), len(server.runs)) == (1, 4, 1, 6)
    executors = list(server.versions.values())[-1]["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-train"]["container"]["image"] == "registry.example.com/hpa/train:3"


def test_waiting_shows_the_steps_and_ends_as_the_run_does(server: KfpServer, ask: Ask) -> None:
    done = ask("submit", *PLACES, "--wait")
    assert done.exit_code == 0, done.output
    assert re.search(r"ingest: succeeded\n +train: succeeded\nThe run is over: succeeded, after 2 h 2 min\.", done.output)
    server.run_state, server.train_error = "FAILED", "no GPU"
    failed = ask("submit", *PLACES, "--wait")
    assert failed.exit_code == 1
    assert failed.stderr.strip() == "train: no GPU"
    server.run_state, server.train_error = "CANCELED", ""
    assert ask("submit", *PLACES, "--wait").exit_code == 1


def test_runs_are_listed_the_newest_first_and_shown(server: KfpServer, ask: Ask) -> None:
    assert "There are no runs" in ask("runs", "list").output
    assert "There is no run yet" in ask("runs", "show").stderr
    server.page_size = 20
    ask("submit", *PLACES, "--name", "older")
    server.run_state, server.train_error = "FAILED", "no GPU"
    ask("submit", *PLACES, "--name", "newer")
    listed = ask("runs", "list").output.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["newer", "older"]
    assert [line.split()[-1] for line in listed[1:]] == list(server.runs)[::-1]
    newest = ask("runs", "show").output
    assert "newer: failed" in newest
    assert re.search(r"^train +failed +1 h 1 min +no GPU$", newest, re.MULTILINE)
    assert "source=synthetic:450" in newest
    assert "older: succeeded" in ask("runs", "show", next(iter(server.runs))).output
    unknown = ask("runs", "show", "nothing")
    assert unknown.exit_code == 1
    assert "404, ResourceNotFoundError: nothing not found" in unknown.stderr


@pytest.mark.parametrize(
    ("when", "trigger", "said"),
    [
        (("--cron", "0 3 * * 0"), {"cron_schedule": {"cron": "0 0 3 * * 0"}}, "at 0 3 * * 0"),
        (("--cron", "5 0 3 * * 0"), {"cron_schedule": {"cron": "5 0 3 * * 0"}}, "at 5 0 3 * * 0"),
        (("--every", "7d"), {"periodic_schedule": {"interval_second": 604800}}, "every 7 d"),
        (("--every", "90m"), {"periodic_schedule": {"interval_second": 5400}}, "every 90 m"),
    ],
)
def test_a_schedule_starts_one_run_at_a_time_and_makes_up_for_none(
    server: KfpServer, ask: Ask, when: tuple[str, ...], trigger: dict, said: str
) -> None:
    done = ask("schedule", "create", *when, *PLACES, "epochs=3")
    assert done.exit_code == 0, done.output
    made = _only(server.recurring_runs)
    assert made["trigger"] == trigger
    assert (made["max_concurrency"], made["no_catchup"], made["mode"]) == ("1", True, "ENABLE")
    assert made["runtime_config"]["parameters"] == VALUES | {"epochs": 3}
    assert made["pipeline_version_reference"]["pipeline_version_id"] in server.versions
    assert f"Schedule retraining starts a run {said} " in done.output
    assert re.search(
        rf"^retraining +{re.escape(said)} +active +2026-01-02 03:04 ", ask("schedule", "list").output, re.MULTILINE
    )


def test_a_schedule_is_paused_resumed_run_now_and_deleted(server: KfpServer, ask: Ask) -> None:
    assert "There are no schedules" in ask("schedule", "list").output
    for name in ("weekly", "daily", "hourly"):  # more than one page
        assert ask("schedule", "create", "--every", "7d", "--name", name, *PLACES).exit_code == 0
    number, weekly = next(iter(server.recurring_runs.items()))
    assert "weekly is paused" in ask("schedule", "pause", "weekly").output
    assert weekly["status"] == "DISABLED"
    assert "weekly is active" in ask("schedule", "resume", number).output
    assert weekly["status"] == "ENABLED"
    assert ask("schedule", "run-now", "weekly", "--wait").exit_code == 0
    run = _only(server.runs)
    assert run["display_name"] == "weekly by hand"
    for field in ("runtime_config", "pipeline_version_reference", "experiment_id"):
        assert run[field] == weekly[field]
    assert "weekly is deleted" in ask("schedule", "delete", "weekly").output
    assert [schedule["display_name"] for schedule in server.recurring_runs.values()] == ["daily", "hourly"]


def test_a_schedule_that_is_there_or_is_not_is_named(server: KfpServer, ask: Ask) -> None:
    ask("schedule", "create", "--every", "7d", *PLACES)
    again = ask("schedule", "create", "--every", "1d", *PLACES)
    assert again.exit_code == 1
    assert "There is a schedule retraining already" in again.stderr
    for command in ("pause", "resume", "delete", "run-now"):
        missing = ask("schedule", command, "nightly")
        assert missing.exit_code == 1
        assert missing.stderr.startswith("There is no schedule nightly. There are: retraining")
    assert len(server.recurring_runs) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*PLACES, "epoch=3"), "there is no parameter epoch. Did you mean epochs?"),
        (PLACES[:1], "required: data_root=..., serving_root=..."),
        ((*PLACES[:2], "serving_root=models"), "serving_root: expected gs://"),
        (("source=dir:images", *PLACES[1:]), "source: expected gs://..., as each step runs in a pod of its own"),
        ((*PLACES, "weights=my.h5"), "weights: expected gs://"),
        (("source=dir:gs://bucket/images", *PLACES[1:], "classes=my.csv"), "classes: expected gs://"),
        ((*PLACES, "--registry", "https://x"), "registry: expected a host and a path"),
        ((*PLACES, "--file", "Makefile"), "Makefile: expected a compiled pipeline"),
        (
            (*PLACES, "--file", "none.yaml"),
            "There is none at none.yaml: `python -m pipeline compile --output none.yaml` writes it",
        ),
        ((*PLACES, "--digests", "none.txt"), "none.txt: `make push-images REGISTRY=... > none.txt` writes it"),
    ],
)
def test_what_no_run_could_use_is_refused_before_anything_is_sent(
    server: KfpServer, ask: Ask, words: tuple[str, ...], message: str
) -> None:
    for command in (("submit",), ("schedule", "create", "--every", "7d")):
        refused = ask(*command, *words)
        assert refused.exit_code == 1
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert not server.pipelines
    assert not server.experiments


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ((), "expected one of --cron and --every"),
        (("--cron", "0 3 * * 0", "--every", "7d"), "expected one of --cron and --every"),
        (("--cron", "3 * *"), "--cron: expected five fields"),
        (("--cron", "61 3 * * 1"), "--cron: minute: expected 0 to 59. Received: 61 in 61 3 * * 1"),
        (("--every", "weekly"), "--every: expected a number of minutes, hours or days"),
        (("--every", "0d"), "--every: expected a number"),
    ],
)
def test_a_time_that_is_none_is_refused(ask: Ask, when: tuple[str, ...], message: str) -> None:
    refused = ask("schedule", "create", *when, *PLACES)
    assert refused.exit_code == 1
    assert message in refused.stderr


def test_a_token_is_taken_from_the_environment_and_shown_nowhere(
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


def test_who_may_not_is_told_what_to_ask_for(server: KfpServer, ask: Ask) -> None:
    server.forbids = True
    refused = ask("submit", *PLACES)
    assert refused.exit_code == 1
    assert "403, User 'someone' is not authorized. You may not do this: ask for a role" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_server_that_is_not_there_is_named_with_what_to_do(ask: Ask, host: str) -> None:
    refused = ask("runs", "list", "--host", host)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{host} cannot be reached: ")
    assert "kubectl port-forward" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_lost_token_is_asked_for_again_while_waiting(server: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_POLL_S", 0.0)
    server.token = "first"
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "first")
    connected = cluster.Cluster(server.address)
    version = connected.upload(PIPELINE_YAML.read_text(encoding="utf-8"))
    server.run_state = "RUNNING"
    run = connected.start(version, "long", "hpa", VALUES)
    seen: list[str] = []

    def show(found: object) -> None:
        seen.append(found.state)  # type: ignore[attr-defined]
        server.token = "second"
        monkeypatch.setenv("KFP_EXISTING_TOKEN", "second")
        server.runs[run.run_id]["state"] = "SUCCEEDED"

    assert connected.wait(run.run_id, show).state == "SUCCEEDED"
    assert seen == ["RUNNING", "SUCCEEDED"]


def test_every_option_of_a_command_has_help(ask: Ask) -> None:
    for command in (["submit"], ["schedule"], ["runs"], ["schedule", "create"], ["schedule", "run-now"], ["runs", "show"]):
        assert ask(*command, "--help").exit_code == 0


def test_the_file_that_is_submitted_may_be_another(server: KfpServer, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(PIPELINE_YAML.read_text(encoding="utf-8").replace("hpa-pipeline/", "registry.example.com/hpa/"))
    done = ask("submit", *PLACES, "--file", str(path))
    assert done.exit_code == 0, done.output
    assert "the nodes must have them already" not in done.output
    assert "registry.example.com/hpa/train" in json.dumps(_only(server.versions))
