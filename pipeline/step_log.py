"""Reads the end of the log of a failed step on a cluster."""

import functools
from typing import Any

from pipeline.cluster_steps import Step
from pipeline.isolated import call_isolated
from pipeline.preflight.finding import NotCheckedError
from pipeline.preflight.kubernetes_api import open_cluster

_NUM_LINES = 40
# The artifact in which Kubeflow Pipelines 2.17 keeps the log of each step.
_ARTIFACT = "executor-logs"
_TIMEOUT_S = 20.0


def read_log_end(run: Any, step: Step, namespace: str) -> str:
    """Reads the end of a step's log from its pod, or, once that is gone, from the artifact in the object store.

    Args:
        run: The run, from the API.
        step: The step.
        namespace: The namespace of the run's pods.

    Returns:
        The last lines.

    Raises:
        NotCheckedError: If it had no pod or neither can be read. The message says where the log is.
    """
    if not step.node_id:
        raise NotCheckedError(
            f"{step.name} had no pod: its driver failed. The driver's log is on the run's page, at {step.name}-driver."
        )
    workflow, _, number = step.node_id.rpartition("-")
    root = (run.runtime_config and run.runtime_config.pipeline_root) or ""
    try:
        cluster = open_cluster("")
        if log := cluster.pod_log(namespace, workflow, number, _NUM_LINES):
            return log
        reason = f"{cluster.name} has no pod of it in the namespace {namespace}"
        root = root or (cluster.config_map("kfp-launcher", namespace) or {}).get("defaultPipelineRoot", "")
    except NotCheckedError as error:
        reason = str(error)
    if root.startswith(("gs://", "s3://")):  # KFP's own store, minio://, is seldom reachable from outside
        try:
            # Argo names a workflow <pipeline>-<five characters>.
            folder = "/".join((root.rstrip("/"), workflow.rpartition("-")[0], run.run_id, step.name))
            return call_isolated(functools.partial(_read_artifact, folder), _TIMEOUT_S)
        except Exception as error:  # any error of the store's client: a missing log must not hide the run's error
            reason = f"{reason}, and {root}: {error}"
    pods = f"kubectl -n {namespace} get pods -o name -l workflows.argoproj.io/workflow={workflow}"
    raise NotCheckedError(
        f"The log of {step.name} cannot be read from here: {reason}. While its pod exists, this shows it:\n"
        f"  {pods} | grep -e '-{number}$' | xargs kubectl -n {namespace} logs -c main --tail={_NUM_LINES}\n"
        f"Later, it is on the run's page: the artifact {_ARTIFACT} of {step.name}."
    ) from None


def _read_artifact(folder: str) -> str:
    """The end of the newest log in the folder of a step's artifacts."""
    from components import storage  # noqa: PLC0415 (a machine that only submits has no client of an object store)

    logs = [storage.join(folder, name) for name in storage.list_tree(folder) if name.split("/")[-1] == _ARTIFACT]
    if not logs:
        raise FileNotFoundError(f"there is no {_ARTIFACT} in {folder}")
    text = storage.read_bytes(max(logs, key=storage.modified_s)).decode(errors="replace")
    return "\n".join(text.splitlines()[-_NUM_LINES:])
