"""Notifications, from a Kubeflow Pipelines server to a webhook, both on loopback."""

import datetime
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import __version__, storage
from components.serving import notify
from components.serving.champion import Champion, find_champion, promote
from components.storage import SwappedMeanwhileError
from pipeline.compiled import ROOT
from tests.conftest import OBJECT_STORES
from tests.pipeline.kfp_server import KfpServer, recorded_run, running_kfp_server
from tests.pipeline.preflight.loopback import Answer, Request, serving

HOUR = datetime.timedelta(hours=1)
Tell = Callable[..., int]


@dataclass
class Webhook:
    """A webhook that records requests; it refuses everything while `is_broken`."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)
    is_broken: bool = False
    redirect: str = ""
    on_event: Callable[[], None] = lambda: None

    def answer(self, request: Request) -> Answer:
        if self.is_broken:
            return Answer(503)
        if self.redirect:
            return Answer(302, headers={"Location": self.redirect})
        self.got.append(json.loads(request.body))
        self.on_event()
        return Answer()

    def take(self) -> list[str]:
        """The texts since the last call."""
        texts = [event["text"] for event in self.got]
        self.got.clear()
        return texts


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with running_kfp_server() as running:
        yield running


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as loopback:
        hook = Webhook(f"{loopback.url}/hooks/s3cret")
        loopback.answers["/hooks/s3cret"] = hook.answer
        yield hook


@pytest.fixture
def tell(server: KfpServer, webhook: Webhook, tmp_path: Path) -> Tell:
    """Runs the program once."""

    def once(
        root: str = str(tmp_path), tell_after: datetime.timedelta = HOUR, end_after: datetime.timedelta = 10**6 * HOUR
    ) -> int:
        pipelines = notify.Pipelines(server.address)
        return notify.notify(pipelines, webhook.url, f"{root}/notify.json", f"{root}/serving", "hpa", tell_after, end_after)

    return once


CREATED = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _schedule(server: KfpServer, run_id: str, state: str, pipeline_id: str = "ours", created_at: str = CREATED) -> None:
    server.pipelines["ours"] = {"pipeline_id": "ours", "display_name": "hpa-pipeline"}
    server.pipelines["theirs"] = {"pipeline_id": "theirs", "display_name": "another"}
    server.runs[run_id] = recorded_run(state) | {
        "run_id": run_id,
        "display_name": f"weekly {run_id}",
        "recurring_run_id": "weekly",
        "pipeline_version_reference": {"pipeline_id": pipeline_id},
        "created_at": created_at,
    }


def test_a_failed_scheduled_run_is_reported_once(server: KfpServer, webhook: Webhook, tell: Tell) -> None:
    _schedule(server, "before", "FAILED")
    assert tell() == 0  # it failed before the first call
    for number in range(5):  # more than a page of the server's list
        _schedule(server, f"good {number}", "SUCCEEDED")
    _schedule(server, "1", "FAILED")
    server.runs["by hand"] = recorded_run("FAILED") | {"run_id": "by hand", "display_name": "by hand"}
    _schedule(server, "2", "CANCELED")
    assert tell() == 2
    assert sorted(webhook.got, key=lambda event: event["run_id"]) == [
        {
            "id": "run-failed/1",
            "event": "run failed",
            "text": "the scheduled run weekly 1 (1) failed",
            "run_id": "1",
            "run": "weekly 1",
            "schedule_id": "weekly",
            "state": "FAILED",
            "started": CREATED,
        },
        webhook.got[0] | {"text": "the scheduled run weekly 2 (2) was canceled"},
    ]
    assert tell() == 0


@pytest.mark.parametrize("root", ["local_root", *OBJECT_STORES])
def test_a_new_champion_is_reported_once(root: str, request: pytest.FixtureRequest, webhook: Webhook, tell: Tell) -> None:
    place = request.getfixturevalue(root)
    assert tell(place) == 0
    promote(Champion(3, "", "m", "e", ""), f"{place}/serving", "hpa")
    assert tell(place) == 1
    assert webhook.take() == [f"version 3 of hpa is the champion: {place}/serving/hpa/3"]
    assert tell(place) == 0


def test_the_previous_champion_is_not_reported(webhook: Webhook, tell: Tell, tmp_path: Path) -> None:
    serving_root = str(tmp_path / "serving")
    promote(Champion(3, "", "m", "e", ""), serving_root, "hpa")
    assert tell() == 0
    champion = find_champion(serving_root, "hpa")
    assert champion
    promote(Champion(4, "", "n", "e", champion.generation), serving_root, "hpa")
    assert tell() == 1
    assert "version 4 of hpa" in webhook.take()[0]


def test_an_event_that_the_webhook_refused_is_sent_again(server: KfpServer, webhook: Webhook, tell: Tell) -> None:
    tell()
    _schedule(server, "1", "FAILED")
    webhook.is_broken = True
    with pytest.raises(OSError, match="the webhook answered with status 503") as raised:
        tell()
    assert "s3cret" not in str(raised.value)
    webhook.is_broken = False
    _schedule(server, "2", "FAILED")
    assert tell() == 2
    assert len({event["id"] for event in webhook.got}) == 2


def test_old_runs_and_runs_of_other_pipelines_are_ignored(server: KfpServer, webhook: Webhook, tell: Tell) -> None:
    tell()
    _schedule(server, "2", "RUNNING", created_at="2026-01-01T00:00:00Z")
    _schedule(server, "1", "RUNNING", pipeline_id="theirs")
    assert tell(end_after=HOUR) == 0
    assert [server.runs[run]["state"] for run in ("1", "2")] == ["RUNNING", "RUNNING"]
    server.runs["1"] |= {"pipeline_version_reference": {}, "pipeline_spec": {"pipelineInfo": {"name": "hpa-pipeline"}}}
    assert tell(end_after=HOUR) == 1  # its schedule was created from a file


def test_a_failing_event_does_not_block_the_others(
    server: KfpServer, webhook: Webhook, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell()
    _schedule(server, "1", "RUNNING")
    _schedule(server, "2", "FAILED")

    def forbidden(*_: object) -> None:
        raise OSError("the server answered with status 403")

    with monkeypatch.context() as patch:
        patch.setattr(notify.Pipelines, "terminate", forbidden)
        with pytest.raises(OSError, match=r"run-failed/1: the server answered with status 403"):
            tell(end_after=HOUR)
    assert webhook.take() == ["the scheduled run weekly 2 (2) failed"]
    assert tell(end_after=HOUR) == 1


@pytest.mark.parametrize(
    "address", ["https://hooks.example.com/T0/s3 cret", "https://user:s3cret@", "http://[s3cret", "https://a:s3cret@h/\n"]
)
def test_no_error_contains_the_webhooks_address(server: KfpServer, tmp_path: Path, address: str) -> None:
    pipelines, arguments = notify.Pipelines(server.address), (f"{tmp_path}/n.json", f"{tmp_path}/serving", "hpa", HOUR, HOUR)
    notify.notify(pipelines, address, *arguments)
    _schedule(server, "1", "FAILED")
    with pytest.raises(OSError, match="the webhook") as raised:
        notify.notify(pipelines, address, *arguments)
    assert "cret" not in str(raised.value)


def test_redirected_event_counts_as_not_sent(server: KfpServer, tell: Tell, webhook: Webhook) -> None:
    tell()
    _schedule(server, "1", "FAILED")
    webhook.redirect = "/elsewhere"
    with pytest.raises(OSError, match="the webhook answered with status 302"):
        tell()


def test_one_of_two_concurrent_calls_gives_up(server: KfpServer, webhook: Webhook, tell: Tell, tmp_path: Path) -> None:
    tell()
    _schedule(server, "1", "FAILED")
    _schedule(server, "2", "FAILED")
    state = str(tmp_path / "notify.json")

    def write_meanwhile() -> None:
        found, generation = storage.read_with_generation(state) or (b"", "")
        storage.swap(state, json.dumps(json.loads(found) | {"updated": "by another"}).encode(), generation)

    webhook.on_event = write_meanwhile
    with pytest.raises(SwappedMeanwhileError):
        tell()
    assert len(webhook.got) == 1


def test_a_run_that_waits_for_a_node_is_reported_and_then_terminated(server: KfpServer, webhook: Webhook, tell: Tell) -> None:
    _schedule(server, "1", "RUNNING")
    assert tell(tell_after=10**6 * HOUR) == 0
    assert tell() == 1
    assert webhook.take()[0].startswith("the scheduled run weekly 1 (1) waits: a pod has waited for ")
    assert tell() == 0
    assert server.runs["1"]["state"] == "RUNNING"
    assert tell(end_after=HOUR) == 1
    assert server.runs["1"]["state"] == "CANCELED"
    assert webhook.take()[0].startswith("the scheduled run weekly 1 (1) was terminated: a pod had waited for ")
    assert tell() == 0


def test_the_token_of_the_service_account_is_sent(
    server: KfpServer, tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "sesame"
    with pytest.raises(OSError, match=f"{server.address} answered with status 401"):
        tell()
    (tmp_path / "token").write_text("sesame\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert tell() == 0


def test_damaged_state_is_reported(tell: Tell, tmp_path: Path) -> None:
    tell()
    (tmp_path / "notify.json").write_text("{}")
    with pytest.raises(ValueError, match=r"notify.json is damaged: .* Remove it to start over"):
        tell()


def test_the_command_of_the_manifest_works(
    server: KfpServer, webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (container,) = yaml.safe_load((ROOT / "deploy/notify.yaml").read_text(encoding="utf-8"))["spec"]["jobTemplate"]["spec"][
        "template"
    ]["spec"]["containers"]
    python, module, name, *options = container["command"]
    assert (python, module, name) == ("python3", "-m", notify.__name__)
    assert container["image"] == f"REGISTRY/push:{__version__}"
    (url,) = (variable["name"] for variable in container["env"] if "valueFrom" in variable)
    here = {"gs://BUCKET": str(tmp_path), "http://ml-pipeline.kubeflow:8888": server.address}
    for there, place in here.items():
        options = [option.replace(there, place) for option in options]
    monkeypatch.setattr(sys, "argv", [name, *options])
    monkeypatch.delenv(url, raising=False)
    with pytest.raises(SystemExit):
        notify.main()
    assert f"expected the webhook's address, http(s)://..., in the variable {url}" in capsys.readouterr().err
    monkeypatch.setenv(url, webhook.url)
    notify.main()
    _schedule(server, "1", "FAILED")
    notify.main()
    assert webhook.take() == ["the scheduled run weekly 1 (1) failed"]
    assert "notify | sent: the scheduled run weekly 1 (1) failed" in capsys.readouterr().out
