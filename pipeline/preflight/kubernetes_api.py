"""The cluster through its Kubernetes API: its nodes, and the Secrets, ConfigMaps and pods in a namespace."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipeline.preflight.finding import NotCheckedError
from pipeline.preflight.submission import Step

_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Node:
    """A node for pods.

    Attributes:
        name: Its name.
        labels: Its labels.
        taints: The taints that repel pods, in Kubernetes's format.
        allocatable: The resources for pods, in cores, bytes and units.
    """

    name: str
    labels: dict[str, str]
    taints: tuple[dict[str, str], ...]
    allocatable: dict[str, Decimal]

    def has_labels(self, wanted: dict[str, str]) -> bool:
        """Whether it has all of these labels."""
        return all(self.labels.get(key) == value for key, value in wanted.items())

    def has(self, resource: str) -> Decimal:
        """How much of a resource it has for pods."""
        return self.allocatable.get(resource, Decimal(0))

    def repelling(self, step: Step) -> list[str]:
        """The taints of this node that a step does not tolerate, in kubectl's format."""
        return [
            f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}"
            for taint in self.taints
            if not any(_tolerates(toleration, taint) for toleration in step.tolerations)
        ]


@dataclass(frozen=True)
class Cluster:
    """A cluster's API. `name` is its name in the kubeconfig."""

    name: str
    api: Any

    def nodes(self) -> list[Node]:
        """The nodes that are ready and not cordoned."""
        with _explained(self.name, "list nodes"):
            listed = self.api.list_node(_request_timeout=_TIMEOUT_S).items
        return [_read_node(node) for node in listed if _is_open(node)]

    def config_map(self, name: str, namespace: str) -> dict[str, str] | None:
        """A ConfigMap's values by key; None if there is no such ConfigMap."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        with _explained(self.name, f"read the ConfigMap {name} in the namespace {namespace}"):
            try:
                return self.api.read_namespaced_config_map(name, namespace, _request_timeout=_TIMEOUT_S).data or {}
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    def has_secret(self, name: str, namespace: str) -> bool:
        """Whether there is a Secret, by a dry run of creating it, as any right to look at Secrets is a right to read them."""
        from kubernetes.client import ApiException  # noqa: PLC0415

        wanted = {"metadata": {"name": name}}
        with _explained(self.name, f"create Secrets in the namespace {namespace}, even as a dry run,"):
            try:
                self.api.create_namespaced_secret(namespace, wanted, dry_run="All", _request_timeout=_TIMEOUT_S)
            except ApiException as error:
                if error.status not in (404, 409):  # no such namespace; the Secret exists
                    raise
                return error.status == 409
        return False

    def pod_log(self, namespace: str, workflow: str, number: str, num_lines: int) -> str:
        """The end of the log of a workflow's pod; empty if there is no such pod.

        Args:
            namespace: The namespace of the pod.
            workflow: The Argo workflow.
            number: The suffix of the pod's name, after a dash.
            num_lines: The number of lines.
        """
        with _explained(self.name, f"read pods and their logs in the namespace {namespace}"):
            selector = f"workflows.argoproj.io/workflow={workflow}"
            pods = self.api.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=_TIMEOUT_S).items
            names = [pod.metadata.name for pod in pods if pod.metadata.name.endswith(f"-{number}")]
            return "".join(
                self.api.read_namespaced_pod_log(
                    name, namespace, container="main", tail_lines=num_lines, _request_timeout=_TIMEOUT_S
                )
                for name in names
            )


def open_cluster(context: str) -> Cluster:
    """Opens the cluster of a context in the kubeconfig; the current one if it is empty.

    Raises:
        NotCheckedError: If there is no kubeconfig, or no such context in it.
    """
    from kubernetes import client, config  # noqa: PLC0415 (takes a second, which --help should not)

    configuration = client.Configuration()
    configuration.retries = 1
    try:
        if not context and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
            return Cluster("this cluster", client.CoreV1Api(client.ApiClient(configuration)))
        contexts, current = config.list_kube_config_contexts()
        config.load_kube_config(context=context or None, client_configuration=configuration, persist_config=False)
    except config.ConfigException:
        what = f"no context {context}" if context else "nothing usable"
        raise NotCheckedError(
            f"there is {what} in the kubeconfig. Set KUBECONFIG to another one, or on GKE write it by "
            "`gcloud container clusters get-credentials <cluster> --location <location>`"
        ) from None
    chosen = next((known for known in contexts if known["name"] == context), current)
    return Cluster(chosen["context"]["cluster"], client.CoreV1Api(client.ApiClient(configuration)))


def quantity(text: str) -> Decimal:
    """Parses a Kubernetes quantity, such as 500m or 16G, to cores or bytes; 0 if it is empty."""
    from kubernetes.utils import parse_quantity  # noqa: PLC0415

    return Decimal(parse_quantity(text)) if text else Decimal(0)


@contextlib.contextmanager
def _explained(cluster: str, wanted: str) -> Iterator[None]:
    import urllib3  # noqa: PLC0415
    from kubernetes.client import ApiException  # noqa: PLC0415

    try:
        yield
    except ApiException as error:
        if error.status == 401:
            raise NotCheckedError(f"{cluster} does not accept the kubeconfig's credentials: sign in again") from None
        if error.status == 403:
            raise NotCheckedError(f"you may not {wanted} on {cluster}. Ask an administrator to run this") from None
        raise NotCheckedError(f"{cluster} answers with status {error.status}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise NotCheckedError(f"{cluster} cannot be reached ({type(reason).__name__})") from None


def _is_open(node: Any) -> bool:
    ready = [condition.status for condition in node.status.conditions or [] if condition.type == "Ready"]
    return "True" in ready and not node.spec.unschedulable


def _read_node(node: Any) -> Node:
    taints = [taint for taint in node.spec.taints or [] if taint.effect in ("NoSchedule", "NoExecute")]
    return Node(
        name=node.metadata.name,
        labels=node.metadata.labels or {},
        taints=tuple({"key": taint.key, "value": taint.value or "", "effect": taint.effect} for taint in taints),
        allocatable={name: quantity(text) for name, text in (node.status.allocatable or {}).items()},
    )


def _tolerates(toleration: dict[str, str], taint: dict[str, str]) -> bool:
    """Whether a toleration matches a taint, as in Kubernetes: no key matches every taint, and no effect every effect."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint["value"]
