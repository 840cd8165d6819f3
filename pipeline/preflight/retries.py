"""Checks that Argo, which runs the pods for Kubeflow Pipelines, retries a step after each kind of fault.

A compiled pipeline sets the number of retries, but cannot set the kinds of faults. Argo uses its default, OnFailure, unless the
installation merges another policy into each template.
"""

import json
import shlex
from typing import Any

import yaml

from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster

_CONFIG_MAP = "workflow-controller-configmap"
# The namespace of Kubeflow Pipelines, if it is not that of the pods.
_KFP_NAMESPACE = "kubeflow"
# The kinds of faults in Argo. A preempted spot node ends its pods in either way.
_DELETED = "a deleted pod (a drained or lost node)"
_FAILED = "an evicted pod, a graceful node shutdown, an out-of-memory kill or a crash"
_RETRIED = {"Always": (_DELETED, _FAILED), "OnError": (_DELETED,), "OnFailure": (_FAILED,), "OnTransientError": ()}
# The limit is for templates without their own, such as groups of tasks, which must not be retried with all their tasks.
_WANTED = {"limit": "0", "retryPolicy": "Always"}


def check_retries(cluster: Cluster, namespace: str) -> str:
    """Reads Argo's configuration.

    Args:
        cluster: The cluster.
        namespace: The namespace of the pods.

    Raises:
        FailedError: If a fault would end the run, or a step could be retried more often than the compiled pipeline says. The
            message has the command that changes only this.
        NotCheckedError: If the configuration is missing or cannot be read.
    """
    for installed_in in dict.fromkeys((_KFP_NAMESPACE, namespace)):
        data = cluster.config_map(_CONFIG_MAP, installed_in)
        if data is not None:
            break
    else:
        raise NotCheckedError(
            f"there is no ConfigMap {_CONFIG_MAP} in {_KFP_NAMESPACE}: ask who installed Argo (docs/cluster.md)"
        )
    try:
        settings = _read(data)
        defaults = _template_defaults(settings)
        strategy = dict(defaults.get("retryStrategy") or {})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        raise NotCheckedError(f"{_CONFIG_MAP} in {installed_in} is not in Argo's format") from None
    if "expression" in strategy:
        raise NotCheckedError(f"Argo decides with an expression: {strategy['expression']}")
    policy = strategy.get("retryPolicy", "OnFailure")
    retried = _RETRIED.get(policy, ())
    problems = [f"{fault} would end the run" for fault in (_DELETED, _FAILED) if fault not in retried]
    if strategy and str(strategy.get("limit")) != "0":
        problems.append("groups of tasks are also retried, and a step more often than the pipeline says")
    if problems:
        defaults["retryStrategy"] = strategy | _WANTED
        patch = shlex.quote(json.dumps({"data": _write(settings, data)}))
        command = f"kubectl -n {installed_in} patch configmap {_CONFIG_MAP} --type merge -p {patch}"
        raise FailedError(f"Argo's retryPolicy is {policy}: {'; '.join(problems)}. `{command}`")
    return "after every fault, and no step more often than the pipeline says"


def _read(data: dict[str, str]) -> dict[str, Any]:
    """Argo's settings, at least its workflow defaults: the ConfigMap has one text, or one for each setting."""
    if "config" in data:
        return yaml.safe_load(data["config"]) or {}
    return {"workflowDefaults": yaml.safe_load(data.get("workflowDefaults", ""))}


def _write(settings: dict[str, Any], data: dict[str, str]) -> dict[str, str]:
    """The settings from `_read`, in the format of the ConfigMap."""
    if "config" in data:
        return {"config": yaml.safe_dump(settings)}
    return {name: yaml.safe_dump(value) for name, value in settings.items()}


def _template_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that Argo merges into each template, created if missing."""
    inner = settings
    for key in ("workflowDefaults", "spec", "templateDefaults"):
        inner[key] = inner.get(key) or {}
        inner = inner[key]
    return inner
