"""The nodes that a cluster on Google Kubernetes Engine would create: only its own API lists pools without nodes."""

import os
import re
from decimal import Decimal
from typing import Any

from pipeline.preflight.finding import NotCheckedError
from pipeline.preflight.kubernetes_api import Node

_TIMEOUT_S = 15.0
# gcloud's variable for an endpoint other than Google's.
_ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# The name that `gcloud container clusters get-credentials` gives a cluster in the kubeconfig.
_NAME = re.compile(r"gke_([^_]+)_([^_]+)_([^_]+)")
_GPU_RESOURCE = "nvidia.com/gpu"
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute"}


def find_growing_pools(cluster: str) -> list[Node]:
    """A node for each pool that may grow, with its GPUs but without CPUs and memory, which are not known.

    Raises:
        NotCheckedError: If this is not a cluster of Google's, its API cannot be used, or it creates pools on demand.
    """
    name = _NAME.fullmatch(cluster)
    if not name:
        raise NotCheckedError("only Google Kubernetes Engine lists pools without nodes")
    found = _ask("/v1/projects/{}/locations/{}/clusters/{}".format(*name.groups()))
    if found.get("autopilot", {}).get("enabled") or found.get("autoscaling", {}).get("enableNodeAutoprovisioning"):
        raise NotCheckedError("this cluster creates pools on demand")
    return [_read_pool(pool) for pool in found.get("nodePools", []) if _may_grow(pool)]


def _ask(path: str) -> dict[str, Any]:
    import google.auth  # noqa: PLC0415 (--help should not wait for these)
    import google.auth.transport.requests  # noqa: PLC0415
    import requests  # noqa: PLC0415

    endpoint = os.environ.get(_ENDPOINT_VARIABLE) or "https://container.googleapis.com"
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        with google.auth.transport.requests.AuthorizedSession(credentials) as session:
            response = session.get(endpoint.rstrip("/") + path, timeout=_TIMEOUT_S)
            if response.status_code != 200:
                raise NotCheckedError(f"Google Kubernetes Engine does not list its pools ({response.status_code})")
            answer: dict[str, Any] = response.json()
            return answer
    except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
        raise NotCheckedError(f"Google Kubernetes Engine cannot be asked for its pools ({type(error).__name__})") from None


def _may_grow(pool: dict[str, Any]) -> bool:
    scaling = pool.get("autoscaling", {})
    most = max(scaling.get("maxNodeCount", 0), scaling.get("totalMaxNodeCount", 0))
    return bool(scaling.get("enabled")) and most > 0


def _read_pool(pool: dict[str, Any]) -> Node:
    config = pool.get("config", {})
    gpus = config.get("accelerators", [])
    kinds = {"cloud.google.com/gke-accelerator": gpus[0]["acceleratorType"]} if gpus else {}
    with_driver = [
        gpu for gpu in gpus if gpu.get("gpuDriverInstallationConfig", {}).get("gpuDriverVersion") != "INSTALLATION_DISABLED"
    ]
    taints = [taint for taint in config.get("taints", []) if taint["effect"] in _EFFECTS]
    return Node(
        name=f"the pool {pool['name']}",
        labels={"cloud.google.com/gke-nodepool": pool["name"]} | config.get("labels", {}) | kinds,
        taints=tuple(
            {"key": taint["key"], "value": taint.get("value", ""), "effect": _EFFECTS[taint["effect"]]} for taint in taints
        ),
        allocatable={_GPU_RESOURCE: Decimal(sum(int(gpu["acceleratorCount"]) for gpu in with_driver))} if gpus else {},
    )
