"""Notifies a webhook of scheduled runs that failed or cannot start a pod, and of new champions.

Usage: `python -m components.serving.notify --help`. deploy/notify.yaml runs it every ten minutes, in push's image. A file
remembers the notifications, so that none is sent twice.
"""

import argparse
import datetime
import json
import logging
import os
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from components import storage
from components.artifacts.damage import to_json, without_checksum
from components.runtime.progress import command_log
from components.serving.champion import find_champion

# The variable with the webhook's address. It is often a secret, so no message contains it.
WEBHOOK_VARIABLE = "WEBHOOK_URL"
# The variable with the path of a service account's token, as in KFP's own client: for a multi-user Kubeflow.
TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
_PAGE_SIZE = 100
# Older runs are ignored.
_KNOWN_FOR = datetime.timedelta(days=10)
_NUM_TOLD = 10_000
_TIMEOUT_S = 30.0
_ATTEMPT = re.compile(r"executor\(\d+\)")
_LOG = logging.getLogger("components.serving")


class State(BaseModel):
    """The ids of the events that were sent; `updated` makes each content of the file unique."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: tuple[str, ...]
    updated: str


@dataclass(frozen=True)
class Event:
    """An event to notify the webhook of.

    Attributes:
        id: Its id. Each id is sent once.
        event: Its kind.
        text: The message.
        details: More fields for the webhook.
        is_past: Whether the first call of this program skips it, as it may be long past.
        ends: The run to terminate before the event is sent; empty for none.
    """

    id: str
    event: str
    text: str
    details: dict[str, Any]
    is_past: bool = False
    ends: str = ""

    def to_json(self) -> bytes:
        """The body of the request to the webhook."""
        return json.dumps({"id": self.id, "event": self.event, "text": self.text} | self.details).encode()


@dataclass(frozen=True)
class Pipelines:
    """The scheduled runs of one pipeline on a Kubeflow Pipelines server.

    Attributes:
        host: The server's API.
        namespace: The user's; empty on a single-user server.
        pipeline: The pipeline's name. Runs of other pipelines are neither reported nor terminated.
    """

    host: str
    namespace: str = ""
    pipeline: str = "hpa-pipeline"

    def scheduled_runs(self) -> list[dict[str, Any]]:
        """The runs that a schedule started in the last days, the newest first."""
        named = {"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": self.pipeline}]}
        ids = {found["pipeline_id"] for found in self._list("pipelines", filter=json.dumps(named))}
        since, runs = datetime.datetime.now(datetime.UTC) - _KNOWN_FOR, []
        for run in self._list("runs", sort_by="created_at desc"):
            if datetime.datetime.fromisoformat(run["created_at"]) < since:
                break
            reference = run.get("pipeline_version_reference") or {}
            # A schedule created from a file has no pipeline version.
            spec = (run.get("pipeline_spec") or {}).get("pipeline_spec") or run.get("pipeline_spec") or {}
            is_ours = reference.get("pipeline_id") in ids or spec.get("pipelineInfo", {}).get("name") == self.pipeline
            if is_ours and run.get("recurring_run_id"):
                runs.append(run)
        return runs

    def terminate(self, run_id: str) -> None:
        """Ends a run."""
        self._ask("POST", f"runs/{run_id}:terminate")

    def _list(self, what: str, **query: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            given = query | {"page_size": str(_PAGE_SIZE), "namespace": self.namespace, "page_token": token}
            page = json.loads(self._ask("GET", f"{what}?{urllib.parse.urlencode(given)}"))
            yield from page.get(what, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def _ask(self, method: str, path: str) -> bytes:
        token = os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {Path(token).read_text(encoding='utf-8').strip()}"} if token else {}
        return _send(f"{self.host.rstrip('/')}/apis/v2beta1/{path}", method, headers, b"", self.host)


def notify(
    pipelines: Pipelines,
    webhook: str,
    state_uri: str,
    serving_root: str,
    model_name: str,
    tell_after: datetime.timedelta,
    end_after: datetime.timedelta,
) -> int:
    """Notifies a webhook of what has happened since the last call. The first call only records past failures and the champion.

    An event counts as sent once the webhook has accepted it. After a failure, the next call sends it again with the same id.

    Args:
        pipelines: Kubeflow Pipelines.
        webhook: The address to which each event is posted as JSON.
        state_uri: The file that remembers the events that were sent.
        serving_root: Where models are served from.
        model_name: The model whose champion is reported.
        tell_after: How long a pod of a scheduled run may wait for a node or its image before that is reported.
        end_after: How long it may wait before the run is terminated: it would keep the next one from starting.

    Returns:
        How many events were sent.

    Raises:
        OSError: If the API, the webhook or the object store fails.
        SwappedMeanwhileError: If another process sends the same events.
        ValueError: If the file or the champion's pointer is damaged.
    """
    found, generation = storage.read_with_generation(state_uri) or (b"", "")
    events = [*_run_events(pipelines.scheduled_runs(), tell_after, end_after), *_champion_events(serving_root, model_name)]
    if generation:
        told = _read_state(state_uri, found).told
    else:
        told = tuple(event.id for event in events if event.is_past)
        generation = _write_state(state_uri, told, "")
    num_told, problems = 0, []
    for event in events:
        if event.id in told:
            continue
        try:
            if event.ends:
                pipelines.terminate(event.ends)
            _send(webhook, "POST", {"Content-Type": "application/json"}, event.to_json(), "the webhook")
        except OSError as error:  # the others are still sent
            problems.append(f"{event.id}: {error}")
            continue
        _LOG.info("sent: %s", event.text)
        num_told += 1
        told = (*told, event.id)[-_NUM_TOLD:]
        generation = _write_state(state_uri, told, generation)
    if problems:
        raise OSError(f"not sent; the next call tries again: {'; '.join(problems)}")
    return num_told


def _run_events(runs: list[dict[str, Any]], tell_after: datetime.timedelta, end_after: datetime.timedelta) -> Iterator[Event]:
    for run in runs:
        details = {
            "run_id": run["run_id"],
            "run": run["display_name"],
            "schedule_id": run["recurring_run_id"],
            "state": run.get("state", ""),
            "started": run["created_at"],
        }
        named, run_id, waited = f"the scheduled run {run['display_name']} ({run['run_id']})", run["run_id"], _waited(run)
        hours = f"{waited.total_seconds() / 3600:.1f} h"
        if run.get("state") in ("FAILED", "CANCELED"):
            text = f"{named} {'failed' if run['state'] == 'FAILED' else 'was canceled'}"
            yield Event(f"run-failed/{run_id}", "run failed", text, details, is_past=True)
        elif waited >= end_after:
            text = f"{named} was terminated: a pod had waited for {hours} to start"
            yield Event(f"run-failed/{run_id}", "run failed", text, details, ends=run_id)
        elif waited >= tell_after:
            yield Event(
                f"run-waiting/{run_id}", "run waiting", f"{named} waits: a pod has waited for {hours} to start", details
            )


def _waited(run: dict[str, Any]) -> datetime.timedelta:
    """How long a step's pod has been waiting; zero if none is."""
    if run.get("state") not in ("PENDING", "RUNNING"):
        return datetime.timedelta()
    since = [
        datetime.datetime.fromisoformat(task["start_time"])
        for task in run.get("run_details", {}).get("task_details", [])
        if _ATTEMPT.fullmatch(task["display_name"]) and task.get("state") == "PENDING"
    ]
    now = datetime.datetime.now(datetime.UTC)
    return max((now - start for start in since), default=datetime.timedelta())


def _champion_events(serving_root: str, model_name: str) -> Iterator[Event]:
    if champion := find_champion(serving_root, model_name):
        details = {"model": model_name, "version": champion.version, "version_uri": champion.uri}
        text = f"version {champion.version} of {model_name} is the champion: {champion.uri}"
        yield Event(f"champion/{model_name}/{champion.version}", "new champion", text, details, is_past=True)


def _read_state(uri: str, content: bytes) -> State:
    try:
        return State.model_validate_json(without_checksum(content))
    except ValueError:
        raise ValueError(
            f"{uri} is damaged: expected JSON with told and updated. Received: {content[:80]!r}. Remove it to start over"
        ) from None


def _write_state(uri: str, told: tuple[str, ...], generation: str) -> str:
    """Writes the ids of the sent events and returns the file's new generation. Fails if another process wrote it."""
    state = State(told=told, updated=f"{datetime.datetime.now(datetime.UTC).isoformat()} {secrets.token_hex(4)}")
    content = to_json(state)
    storage.swap(uri, content, generation)
    written, generation = storage.read_with_generation(uri) or (b"", "")
    if written != content:
        raise storage.SwappedMeanwhileError(f"{uri}: another process sends the same events")
    return generation


def _send(url: str, method: str, headers: dict[str, str], body: bytes, receiver: str) -> bytes:
    """Sends a request. Errors name the receiver, not its address.

    Raises:
        OSError: If there is no answer or it is not a success.
    """
    try:
        request = urllib.request.Request(url, body or None, headers, method=method)
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{receiver} answered with status {error.code}") from None
    except OSError as error:
        raise OSError(f"{receiver} cannot be reached: {getattr(error, 'reason', error)}") from None
    except (HTTPException, ValueError):  # their messages contain the address
        raise OSError(f"{receiver} has an unusable address, or is not an HTTP server") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a redirected POST would become a GET without the event, and leak the token."""

    def redirect_request(self, *_: Any) -> None:
        return None


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", required=True, help="the API of Kubeflow Pipelines")
    parser.add_argument("--namespace", default="", help="your namespace on a multi-user server")
    parser.add_argument("--pipeline", default="hpa-pipeline", help="its name on the server; other pipelines are left alone")
    parser.add_argument("--state", required=True, help="the file that remembers what was sent: a path, gs:// or s3://")
    parser.add_argument("--serving-root", required=True, help="the parameter serving_root of the pipeline")
    parser.add_argument("--model-name", default="hpa", help="the parameter model_name of the pipeline")
    parser.add_argument("--tell-after-hours", type=float, default=2, help="report a run whose pod has waited this many hours")
    parser.add_argument(
        "--end-after-hours", type=float, default=24, help="terminate a run whose pod has waited this many hours"
    )
    options = parser.parse_args()
    webhook = os.environ.get(WEBHOOK_VARIABLE, "")
    if not webhook.startswith(("https://", "http://")):
        parser.error(f"expected the webhook's address, http(s)://..., in the variable {WEBHOOK_VARIABLE}")
    tell_after, end_after = (datetime.timedelta(hours=hours) for hours in (options.tell_after_hours, options.end_after_hours))
    with command_log("notify"):
        notify(
            Pipelines(options.host, options.namespace, options.pipeline),
            webhook,
            options.state,
            options.serving_root,
            options.model_name,
            tell_after,
            end_after,
        )


if __name__ == "__main__":
    main()
