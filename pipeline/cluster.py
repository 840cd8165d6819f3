"""Kubeflow Pipelines on a cluster: versions of the pipeline, runs and schedules, by KFP's own client."""

import contextlib
import hashlib
import io
import json
import logging
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.shared.version import VERSION
from pipeline.compiled import PIPELINE_YAML

# An access token for the server, in the variable that the kfp command reads, too. Never an option: all can read those.
TOKEN_VARIABLE = "KFP_EXISTING_TOKEN"
FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_PORT_FORWARD = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, and --host http://localhost:8080"
# What the server's answers mean for who asked.
_ADVICE = {
    401: f"You are not signed in: put a token into {TOKEN_VARIABLE}, or sign in as your cluster's gateway asks.",
    403: "You may not do this: ask for a role in the namespace, or name yours by --namespace.",
}
_CONNECT_TIMEOUT_S = 10.0
_POLL_S = 5.0


class ClusterError(RuntimeError):
    """The cluster did not do what was asked. The message says why, and what to do.

    Attributes:
        status: The HTTP status, or 0 if there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the server."""

    pipeline_id: str
    version_id: str
    name: str
    is_new: bool


def version_name(pipeline_yaml: str) -> str:
    """The name of a compiled pipeline's version: the code's version, and what tells it from any other content."""
    return f"{VERSION}-{hashlib.sha256(pipeline_yaml.encode()).hexdigest()[:10]}"


@dataclass
class Cluster:
    """A connection to a Kubeflow Pipelines server.

    Attributes:
        host: Its address; empty is for where kfp looks by itself: KF_PIPELINES_ENDPOINT, the service of the cluster that this
            runs in, or that of the current kubectl context.
        namespace: The user's, where the server has several.
    """

    host: str = ""
    namespace: str = ""
    _client: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.host and "://" not in self.host:
            self.host = f"https://{self.host}"  # as kfp would
        self._connect()

    def _connect(self) -> None:
        from kfp.client import Client  # noqa: PLC0415 (takes seconds, which --help should not)

        class ImpatientClient(Client):  # type: ignore[misc]
            """Asks for the server's health once, where kfp asks five times and logs each traceback."""

            def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
                return self.healthzs.healthz_service_get_healthz()

        self._knock()
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings before each of three attempts
        options = {"namespace": self.namespace} if self.namespace else {}
        with self._asking():
            self._client = ImpatientClient(
                host=self.host or None, existing_token=os.environ.get(TOKEN_VARIABLE) or None, **options
            )
            health = self._client.get_kfp_healthz()
        if not hasattr(health, "multi_user"):
            raise ClusterError(
                f"{self._address} answers, but not as Kubeflow Pipelines does: perhaps with a page to sign in. Put a token "
                f"into {TOKEN_VARIABLE}, or use {_PORT_FORWARD}"
            )
        self._namespace = self.namespace or self._client.get_user_namespace() or None

    def _knock(self) -> None:
        """Kfp would wait for minutes for a server that does not answer."""
        address = urlsplit(self.host)
        if address.hostname:
            try:
                port = address.port or {"http": 80}.get(address.scheme, 443)
                socket.create_connection((address.hostname, port), _CONNECT_TIMEOUT_S).close()
            except OSError as error:
                raise self._unreachable(error) from None

    def _unreachable(self, reason: object) -> ClusterError:
        return ClusterError(
            f"{self._address} cannot be reached: {reason}. Name the server by --host or KFP_HOST; if it has no address outside "
            f"of its cluster: {_PORT_FORWARD}"
        )

    @property
    def _address(self) -> str:
        return self.host or os.environ.get("KF_PIPELINES_ENDPOINT") or "the cluster of the current kubectl context"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Keeps kfp from printing, and says in one line what went wrong."""
        from kfp_server_api import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                yield
        except ApiException as error:
            if not error.status:  # this client's own, of a certificate that it does not trust
                raise self._unreachable(_reason(error)) from None
            advice = _ADVICE.get(error.status, "")
            raise ClusterError(f"{self._address}: {error.status}, {_reason(error)}. {advice}".strip(), error.status) from None
        except HTTPError as error:
            raise self._unreachable(getattr(error, "reason", None) or error) from None

    def page(self, run: Any) -> str:
        """The address of a run's page."""
        root = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.host or os.environ.get("KF_PIPELINES_ENDPOINT") or "/pipeline"
        return f"{root.rstrip('/')}/#/runs/details/{run.run_id}"

    def upload(self, pipeline_yaml: str) -> Version:
        """Uploads a compiled pipeline as a version of its own, if the server has not got it yet."""
        name = next(yaml.safe_load_all(pipeline_yaml))["pipelineInfo"]["name"]
        wanted = version_name(pipeline_yaml)
        with self._asking(), tempfile.TemporaryDirectory() as folder:
            pipelines = self._list("pipelines", self._client.list_pipelines, name=name, namespace=self._namespace)
            if pipelines:
                pipeline_id = pipelines[0].pipeline_id
            else:
                model = self._client.api_models.V2beta1Pipeline(display_name=name, namespace=self._namespace)
                pipeline_id = self._client.pipelines.pipeline_service_create_pipeline(pipeline=model).pipeline_id
            versions = self._list(
                "pipeline_versions", self._client.list_pipeline_versions, name=wanted, pipeline_id=pipeline_id
            )
            if versions:
                return Version(pipeline_id, versions[0].pipeline_version_id, wanted, is_new=False)
            path = Path(folder) / PIPELINE_YAML.name
            path.write_text(pipeline_yaml, encoding="utf-8")
            uploaded = self._client.upload_pipeline_version(str(path), wanted, pipeline_id=pipeline_id)
            return Version(pipeline_id, uploaded.pipeline_version_id, wanted, is_new=True)

    def start(self, version: Version, name: str, experiment: str, arguments: dict[str, Any], service_account: str = "") -> Any:
        """Starts a run."""
        with self._asking():
            return self._client.run_pipeline(
                self._experiment_id(experiment),
                name,
                params=arguments,
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=service_account or None,
            )

    def run(self, run_id: str) -> Any:
        """A run by its id, or the newest."""
        with self._asking():
            if not run_id:
                newest = self._client.list_runs(page_size=1, sort_by="created_at desc", namespace=self._namespace).runs
                if not newest:
                    raise ClusterError("There is no run yet: python -m pipeline submit starts one.")
                run_id = newest[0].run_id
            return self._client.get_run(run_id)

    def runs(self, limit: int) -> list[Any]:
        """The newest runs."""
        with self._asking():
            page = self._client.list_runs(page_size=limit, sort_by="created_at desc", namespace=self._namespace)
            return page.runs or []

    def wait(self, run_id: str, show: Callable[[Any], None]) -> Any:
        """Waits until a run is over.

        Args:
            run_id: Which run.
            show: Called with the run each time that it was asked for.
        """
        renewed = False
        while True:
            try:
                run = self.run(run_id)
                renewed = False
            except ClusterError as error:
                if error.status != 401 or renewed:
                    raise
                self._connect()  # the token is over
                renewed = True
                continue
            show(run)
            if run.state in FINISHED:
                return run
            time.sleep(_POLL_S)

    def create_schedule(
        self,
        version: Version,
        name: str,
        experiment: str,
        arguments: dict[str, Any],
        cron: str = "",
        every_s: int = 0,
        service_account: str = "",
    ) -> Any:
        """Starts a run again and again: never two at once, and none for what was missed."""
        with self._asking():
            if [schedule for schedule in self._schedules() if schedule.display_name == name]:
                raise ClusterError(f"There is a schedule {name} already: delete it, or choose another --name.")
            return self._client.create_recurring_run(
                self._experiment_id(experiment),
                name,
                cron_expression=cron or None,
                interval_second=every_s or None,
                max_concurrency=1,
                no_catchup=True,
                params=arguments,
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=service_account or None,
            )

    def schedules(self) -> list[Any]:
        """All schedules."""
        with self._asking():
            return self._schedules()

    def schedule(self, name: str) -> Any:
        """A schedule by its name or id."""
        schedules = self.schedules()
        found = [schedule for schedule in schedules if name in (schedule.recurring_run_id, schedule.display_name)]
        if len(found) != 1:
            names = ", ".join(schedule.display_name for schedule in schedules) or "none at all"
            problem = f"{len(found)} schedules are called {name}: give the id" if found else f"There is no schedule {name}"
            raise ClusterError(f"{problem}. There are: {names} (python -m pipeline schedule list).")
        return found[0]

    def set_schedule(self, schedule: Any, enabled: bool) -> None:
        """Lets a schedule start runs, or not."""
        with self._asking():
            act = self._client.enable_recurring_run if enabled else self._client.disable_recurring_run
            act(schedule.recurring_run_id)

    def delete_schedule(self, schedule: Any) -> None:
        """Deletes a schedule, and none of its runs."""
        with self._asking():
            self._client.delete_recurring_run(schedule.recurring_run_id)

    def run_now(self, schedule: Any) -> Any:
        """Starts what a schedule would start."""
        fields = ("experiment_id", "pipeline_spec", "pipeline_version_reference", "runtime_config", "service_account")
        given = {name: getattr(schedule, name) for name in fields}
        run = self._client.api_models.V2beta1Run(display_name=f"{schedule.display_name} by hand", **given)
        with self._asking():
            return self._client.runs.run_service_create_run(run=run)

    def _schedules(self) -> list[Any]:
        return self._list("recurring_runs", self._client.list_recurring_runs, namespace=self._namespace)

    def _experiment_id(self, name: str) -> str:
        experiment: str = self._client.create_experiment(name, namespace=self._namespace).experiment_id  # or the one there is
        return experiment

    def _list(self, what: str, fetch: Callable[..., Any], name: str = "", **options: Any) -> list[Any]:
        """All items of a listing, page by page; of one name if it is given."""
        if name:
            options["filter"] = json.dumps(
                {"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}
            )
        items: list[Any] = []
        token = ""
        while True:
            page = fetch(page_token=token, page_size=100, **options)
            items += getattr(page, what) or []
            token = page.next_page_token
            if not token:
                return items


def _reason(error: Any) -> str:
    """What the server says of an error, without its headers, which may hold more than should be shown."""
    try:
        content = json.loads(error.body)
        message = content.get("message") or content.get("error_message") or content.get("error")
    except (TypeError, ValueError, AttributeError):
        message = None
    return " ".join(str(message or error.reason).split())[:500].rstrip(".")
