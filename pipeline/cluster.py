"""Kubeflow Pipelines on a cluster: pipeline versions, runs and schedules, through KFP's own client."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from components import __version__
from components.runtime.scratch import scratch_folder
from pipeline.compiled import PIPELINE_YAML, ROOT
from pipeline.kfp_client import ClusterError, address_of, ask_for_release, explained, open_client
from pipeline.releases import read_needs

FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_POLL_S = 5.0


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the server."""

    pipeline_id: str
    version_id: str
    name: str
    is_new: bool


def version_name(pipeline_yaml: str) -> str:
    """The name of a compiled pipeline's version: the code's version and a hash of the content."""
    return f"{__version__}-{hashlib.sha256(pipeline_yaml.encode()).hexdigest()[:10]}"


def version_tags() -> dict[str, str]:
    """The tags of a pipeline version: the code's version, and the commit in a Git clone."""
    tags = {"code_version": __version__}
    if (ROOT / ".git").exists():
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            tags["commit"] = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    return tags


@dataclass
class Cluster:
    """A connection to a Kubeflow Pipelines server. Its methods raise ClusterError if a request fails or finds nothing.

    Attributes:
        host: Its address; empty for kfp's default: KF_PIPELINES_ENDPOINT, the service of the cluster that this runs in, or that
            of the current kubectl context.
        namespace: The user's, on a multi-user server.
    """

    host: str = ""
    namespace: str = ""
    _client: Any = field(init=False, repr=False)
    _health: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.host and "://" not in self.host:
            self.host = f"https://{self.host}"  # as kfp does
        self._connect()

    def _connect(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._client, self._health = open_client(self.host, self.namespace)
        self._namespace = self.namespace or self._client.get_user_namespace() or None

    @property
    def pod_namespace(self) -> str:
        """The namespace of the runs' pods."""
        return self._namespace or "kubeflow"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Keeps kfp from printing, and turns its errors into one line."""
        with contextlib.redirect_stdout(io.StringIO()), explained(self.host):
            yield

    def page(self, run: Any) -> str:
        """The address of a run's page."""
        root = os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.host or os.environ.get("KF_PIPELINES_ENDPOINT") or "/pipeline"
        return f"{root.rstrip('/')}/#/runs/details/{run.run_id}"

    def check_release(self, pipeline_yaml: str) -> str:
        """Compares the server's release with the one that a compiled pipeline needs.

        Returns:
            A warning if the server does not report its release; empty otherwise.

        Raises:
            ValueError: If the server is too old.
        """
        return read_needs(pipeline_yaml).check(ask_for_release(self._client, self.host, self._health), address_of(self.host))

    def upload(self, pipeline_yaml: str) -> Version:
        """Uploads a compiled pipeline as a version, unless the server has it already."""
        name = next(yaml.safe_load_all(pipeline_yaml))["pipelineInfo"]["name"]
        wanted = version_name(pipeline_yaml)
        with self._asking(), scratch_folder() as folder:
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
            path = folder / PIPELINE_YAML.name
            path.write_text(pipeline_yaml, encoding="utf-8")
            # KFP's own method passes no tags. Servers before 2.17 ignore them.
            upload = self._client.pipeline_uploads.upload_pipeline_version
            uploaded = upload(str(path), name=wanted, pipelineid=pipeline_id, tags=json.dumps(version_tags()))
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
            run_id: The id of the run.
            show: Called with the run after each poll.
        """
        renewed = False
        while True:
            try:
                run = self.run(run_id)
                renewed = False
            except ClusterError as error:
                if error.status != 401 or renewed:
                    raise
                self._connect()  # the token has expired
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
        """Creates a schedule: never two runs at once, and no catching up on missed ones."""
        with self._asking():
            if [schedule for schedule in self._schedules() if schedule.display_name == name]:
                raise ClusterError(f"There is already a schedule {name}: delete it, or choose another --name.")
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
            names = ", ".join(schedule.display_name for schedule in schedules) or "none"
            problem = f"{len(found)} schedules are called {name}: give the id" if found else f"There is no schedule {name}"
            raise ClusterError(f"{problem}. Existing: {names} (python -m pipeline schedule list).")
        return found[0]

    def set_schedule(self, schedule: Any, enabled: bool) -> None:
        """Enables or disables a schedule."""
        with self._asking():
            act = self._client.enable_recurring_run if enabled else self._client.disable_recurring_run
            act(schedule.recurring_run_id)

    def delete_schedule(self, schedule: Any) -> None:
        """Deletes a schedule, but not its runs."""
        with self._asking():
            self._client.delete_recurring_run(schedule.recurring_run_id)

    def run_now(self, schedule: Any) -> Any:
        """Starts a run as a schedule would."""
        fields = ("experiment_id", "pipeline_spec", "pipeline_version_reference", "runtime_config", "service_account")
        given = {name: getattr(schedule, name) for name in fields}
        run = self._client.api_models.V2beta1Run(display_name=f"{schedule.display_name} by hand", **given)
        with self._asking():
            return self._client.runs.run_service_create_run(run=run)

    def _schedules(self) -> list[Any]:
        return self._list("recurring_runs", self._client.list_recurring_runs, namespace=self._namespace)

    def _experiment_id(self, name: str) -> str:
        experiment: str = self._client.create_experiment(
            name, namespace=self._namespace
        ).experiment_id  # returns an existing one
        return experiment

    def _list(self, what: str, fetch: Callable[..., Any], name: str = "", **options: Any) -> list[Any]:
        """All items of a paginated listing, optionally of one name."""
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
