"""A server on loopback that speaks the REST API of Kubeflow Pipelines, v2beta1, as far as the command line needs it.

Paths and models are those of KFP's published API definition, from `kfp_server_api`: a request with an unknown field or a value
of the wrong type is refused. Like the real server, it also refuses invalid pipelines, and parameters that are missing, unknown
or of the wrong type. Its descriptions of a run's steps were recorded from a real server: see kfp_runs.json.
"""

import copy
import datetime
import email
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml
from croniter import croniter
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

_RECORDED = {
    run["state"]: run for run in json.loads(Path(__file__).with_name("kfp_runs.json").read_text(encoding="utf-8"))["runs"]
}
_NO_TIME = "1970-01-01T00:00:00Z"  # the real server's end time of running tasks
# The definition declares 64-bit integers as strings, as JSON cannot represent them all; the server accepts both.
_INT64_FIELDS = ("max_concurrency", "interval_second")
_KINDS: dict[str, Callable[[Any], bool]] = {
    "STRING": lambda value: isinstance(value, str),
    "NUMBER_INTEGER": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
    "NUMBER_DOUBLE": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "STRUCT": lambda value: isinstance(value, dict),
    "LIST": lambda value: isinstance(value, list),
}


class Refused(Exception):  # noqa: N818 (an answer)
    """A response with an error status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def check_model(name: str, value: Any, where: str = "body") -> None:
    """Refuses a value that does not fit a model of the published definition."""
    if listed := re.fullmatch(r"list\[(\w+)\]", name):
        for item in _of(list, value, where):
            check_model(listed[1], item, where)
    elif mapped := re.fullmatch(r"dict\(str, (\w+)\)", name):
        for key, item in _of(dict, value, where).items():
            check_model(mapped[1], item, f"{where}.{key}")
    elif name == "datetime":
        datetime.datetime.fromisoformat(_of(str, value, where))
    elif name in ("str", "int", "bool"):
        _of({"str": str, "int": int, "bool": bool}[name], value, where)
    elif name != "object":
        model = getattr(kfp_server_api, name)
        if choices := getattr(model, "allowable_values", None):
            if value not in choices:
                raise Refused(f"{where}: expected one of {choices}, received {value}")
            return
        kinds = {model.attribute_map[attribute]: kind for attribute, kind in model.openapi_types.items()}
        for key, item in _of(dict, value, where).items():
            if key not in kinds:
                raise Refused(f"{where}: {name} has no field {key}")
            if not (key in _INT64_FIELDS and isinstance(item, int)):
                check_model(kinds[key], item, f"{where}.{key}")


def _of(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused(f"{where}: expected {kind.__name__}, received {value!r}")
    return value


def _is_cron(text: str) -> bool:
    """Whether the server accepts a cron expression: seconds first, Sunday is 0 and never 7.

    The real server also accepts five fields, but reads them as seconds to month, which is never what the user means.
    """
    if text.startswith("@"):
        return croniter.is_valid(text)
    fields = text.split()
    return len(fields) == 6 and "7" not in fields[5] and croniter.is_valid(text, second_at_beginning=True)


def recorded_run(state: str) -> dict[str, Any]:
    """The real server's description of a succeeded or failed run; in a running one, train waits for a node."""
    recorded = copy.deepcopy(_RECORDED["SUCCEEDED" if state == "RUNNING" else "FAILED" if state == "CANCELED" else state])
    run = {"state": state, **{name: recorded[name] for name in ("created_at", "finished_at", "run_details")}}
    if state == "RUNNING":
        run["finished_at"] = _NO_TIME
        tasks = run["run_details"]["task_details"]
        since = next(task["start_time"] for task in tasks if task["display_name"] == "train")
        tasks[:] = [task for task in tasks if task["start_time"] <= since]
        for task in tasks:
            if task["start_time"] == since and "driver" not in task["display_name"]:
                is_pod = task["display_name"] == "executor(0)"
                task |= {"state": "PENDING" if is_pod else "RUNNING", "end_time": _NO_TIME}
                task["state_history"] = task["state_history"][:1]
    return run


@dataclass
class KfpServer:
    """The server's state. A `token` is required if set; `forbids` refuses even its owner; `release` may be empty."""

    address: str = ""
    token: str = ""
    forbids: bool = False
    release: str = "2.17.0"
    page_size: int = 2
    # The state of each new run: SUCCEEDED, FAILED or CANCELED, or RUNNING until a test changes it.
    run_state: str = "SUCCEEDED"
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring_runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, content_type: str) -> Any:
        """Answers a request."""
        for pattern, act in self._routes().items():
            its_method, its_path = pattern.split(" ")
            match = re.fullmatch(its_path, path)
            if match and its_method == method:
                if method == "POST" and content_type.startswith("application/json"):
                    return act(*match.groups(), json.loads(body) if body else {})
                return act(*match.groups(), query, *([body, content_type] if method == "POST" else []))
        raise Refused(f"there is no {method} {path}", 404)

    def _routes(self) -> dict[str, Callable[..., Any]]:
        root = "/apis/v2beta1"
        return {
            f"GET {root}/healthz": lambda query: {"multi_user": False},
            "GET /apis/v1beta1/healthz": lambda query: {"tag_name": self.release} if self.release else {},
            f"GET {root}/experiments": lambda query: self._page("experiments", self.experiments, query),
            f"POST {root}/experiments": self._create_experiment,
            f"GET {root}/pipelines": lambda query: self._page("pipelines", self.pipelines, query),
            f"POST {root}/pipelines": self._create_pipeline,
            f"POST {root}/pipelines/upload_version": self._upload_version,
            rf"GET {root}/pipelines/([^/]+)/versions": self._list_versions,
            f"GET {root}/runs": lambda query: self._page("runs", self.runs, query),
            f"POST {root}/runs": self._create_run,
            rf"GET {root}/runs/([^/:]+)": lambda run_id, query: self._get(self.runs, run_id),
            rf"POST {root}/runs/([^/:]+):terminate": self._terminate,
            f"GET {root}/recurringruns": lambda query: self._page("recurringRuns", self.recurring_runs, query),
            f"POST {root}/recurringruns": self._create_recurring_run,
            rf"GET {root}/recurringruns/([^/:]+)": lambda number, query: self._get(self.recurring_runs, number),
            rf"DELETE {root}/recurringruns/([^/:]+)": lambda number, query: self.recurring_runs.pop(number) and {},
            rf"POST {root}/recurringruns/([^/:]+):(enable|disable)": self._set_mode,
        }

    @staticmethod
    def _get(items: dict[str, dict[str, Any]], number: str) -> dict[str, Any]:
        if number not in items:
            raise Refused(f"ResourceNotFoundError: {number} not found.", 404)
        return items[number]

    def _page(self, what: str, items: dict[str, dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        found = list(items.values())
        if query.get("filter"):
            for predicate in json.loads(query["filter"])["predicates"]:
                if predicate["operation"] not in (1, "EQUALS") or predicate["key"] != "display_name":
                    raise Refused(f"filter: {predicate}")
                wanted = predicate.get("string_value", predicate.get("stringValue"))
                found = [item for item in found if item["display_name"] == wanted]
        if query.get("sort_by") == "created_at desc":
            found = found[::-1]
        start = int(query.get("page_token") or 0)
        end = start + min(self.page_size, int(query.get("page_size") or self.page_size))
        # Like the real server, leave out empty fields.
        page: dict[str, Any] = {what: found[start:end]} if found[start:end] else {}
        return page | ({"next_page_token": str(end)} if end < len(found) else {})

    def _new(self, items: dict[str, dict[str, Any]], id_field: str, content: dict[str, Any]) -> dict[str, Any]:
        created = {"created_at": "2026-01-02T03:04:05Z"} | content | {id_field: str(uuid.uuid4())}
        items[created[id_field]] = created
        return created

    def _create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        check_model("V2beta1Experiment", body)
        return self._new(self.experiments, "experiment_id", body)

    def _create_pipeline(self, body: dict[str, Any]) -> dict[str, Any]:
        check_model("V2beta1Pipeline", body)
        return self._new(self.pipelines, "pipeline_id", body)

    def _upload_version(self, query: dict[str, str], body: bytes, content_type: str) -> dict[str, Any]:
        self._get(self.pipelines, query["pipelineid"])
        message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=policy.default)
        (part,) = message.iter_parts()
        if part.get_param("name", header="content-disposition") != "uploadfile":
            raise Refused("expected the file as uploadfile")
        spec, *platform = yaml.load_all(part.get_payload(decode=True), yaml.CSafeLoader)
        content = {"pipeline_spec": spec, "platform_spec": platform[0] if platform else {}}
        self._parameters_of(content)
        tags = json.loads(query.get("tags", "{}"))
        version = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "pipeline_spec": content, "tags": tags}
        return self._new(self.versions, "pipeline_version_id", version)

    def _list_versions(self, pipeline_id: str, query: dict[str, str]) -> dict[str, Any]:
        its = {number: version for number, version in self.versions.items() if version["pipeline_id"] == pipeline_id}
        return self._page("pipeline_versions", its, query)

    def _parameters_of(self, content: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a pipeline. Refuses an invalid pipeline."""
        try:
            json_format.ParseDict(content["pipeline_spec"], PipelineSpec())
            json_format.ParseDict(content["platform_spec"], PlatformSpec())
        except (KeyError, json_format.ParseError) as error:
            raise Refused(f"invalid pipeline spec: {error}") from None
        parameters: dict[str, Any] = content["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        return parameters

    def _check_start(self, body: dict[str, Any]) -> None:
        self._get(self.experiments, body["experiment_id"])
        reference = body.get("pipeline_version_reference")
        if bool(reference) == bool(body.get("pipeline_spec")):
            raise Refused("expected either pipeline_spec or pipeline_version_reference")
        version = self._get(self.versions, reference["pipeline_version_id"]) if reference else body
        parameters = self._parameters_of(version["pipeline_spec"])
        given = body.get("runtime_config", {}).get("parameters", {})
        missing = [name for name, its in parameters.items() if not its.get("isOptional") and name not in given]
        unknown = [name for name in given if name not in parameters]
        if missing or unknown:
            raise Refused(f"parameters: missing {missing}, unknown {unknown}")
        for name, value in given.items():
            if not _KINDS[parameters[name]["parameterType"]](value):
                raise Refused(f"input parameter {name} requires type {parameters[name]['parameterType']}, received {value!r}")

    def _create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        check_model("V2beta1Run", body)
        self._check_start(body)
        return self._new(self.runs, "run_id", body | recorded_run(self.run_state))

    def _terminate(self, run_id: str, *_: Any) -> dict[str, Any]:
        self._get(self.runs, run_id)["state"] = "CANCELED"
        return {}

    def _create_recurring_run(self, body: dict[str, Any]) -> dict[str, Any]:
        check_model("V2beta1RecurringRun", body)
        self._check_start(body)
        cron = body["trigger"].get("cron_schedule", {}).get("cron", "@daily")
        if not _is_cron(cron):
            raise Refused(f"Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). Error: {cron}")
        if not 1 <= int(body["max_concurrency"]) <= 10:
            raise Refused("max_concurrency: expected 1 to 10")
        body["max_concurrency"] = str(body["max_concurrency"])
        return self._new(self.recurring_runs, "recurring_run_id", body | {"status": f"{body['mode']}D"})

    def _set_mode(self, number: str, word: str, query: dict[str, str], *_: Any) -> dict[str, Any]:
        self._get(self.recurring_runs, number)["status"] = f"{word.upper()}D"
        return {}


@contextmanager
def running_kfp_server() -> Iterator[KfpServer]:
    """Runs a server within the context."""
    state = KfpServer()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            try:
                if state.token and self.headers.get("authorization") != f"Bearer {state.token}":
                    raise Refused("Unauthenticated", 401)
                if state.forbids:
                    raise Refused("User 'someone' is not authorized", 403)
                answer, status = state.answer(self.command, address.path, query, body, self.headers["Content-Type"] or ""), 200
            except Refused as refused:
                answer, status = {"error": str(refused), "message": str(refused), "code": 3}, refused.status
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
