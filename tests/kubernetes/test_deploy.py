"""A real API server accepts the manifests in deploy/."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.compiled import ROOT
from tests.kubernetes.control_plane import ControlPlane
from tests.test_deploy import FILES, read_manifests

pytestmark = pytest.mark.kubernetes


Admit = Callable[..., dict[str, Any]]

# A step's pod, as created by Argo.
POD: dict[str, Any] = {
    "initContainers": [
        {"name": "kfp-launcher", "image": "ghcr.io/kubeflow/kfp-launcher", "securityContext": {"runAsUser": 1000}},
        {
            "name": "istio-init",
            "image": "proxyv2",
            "securityContext": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]}},
        },
    ],
    "containers": [
        {"name": "main", "image": "registry.example.com/hpa/push:1", "env": [{"name": "A", "value": "b"}]},
        {"name": "wait", "image": "quay.io/argoproj/argoexec", "args": ["wait"]},
    ],
}


def _manifests(path: Path) -> str:
    """The manifests of a file, with the API versions of Kubernetes 1.34."""
    manifests = read_manifests(path)
    for manifest in manifests:
        if manifest["kind"].startswith("MutatingAdmissionPolicy"):
            manifest["apiVersion"] = "admissionregistration.k8s.io/v1beta1"
    return yaml.safe_dump_all(manifests)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_accepted(plane: ControlPlane, path: Path) -> None:
    manifests = _manifests(path)
    plane.run("apply", "--validate=strict", "--filename=-", stdin=manifests)
    plane.run("diff", "--filename=-", stdin=manifests)  # fails if the server has stored anything else


def test_misspelt_field_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(AssertionError, match="dat: field not declared in schema"):
        plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "dat": {}})


class TestRestrictedRunPods:
    @pytest.fixture(autouse=True)
    def _policy(self, plane: ControlPlane) -> Iterator[None]:
        manifests = _manifests(ROOT / "deploy" / "restrict-run-pods.yaml").replace("REGISTRY", "registry.example.com/hpa")
        plane.run("apply", "--filename=-", stdin=manifests)
        yield
        plane.run("delete", "--filename=-", stdin=manifests)

    @pytest.fixture
    def admit(self, plane: ControlPlane) -> Admit:
        """Returns a pod as the API server would store it."""

        def admit(namespace: str = "kubeflow", of_a_run: bool = True, **pod: Any) -> dict[str, Any]:
            labels = {"pipelines.kubeflow.org/v2_component": "true"} if of_a_run else {}
            manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "labels": labels}, "spec": POD | pod}
            command = ("-n", namespace, "create", "--dry-run=server", "--output=json", "--filename=-")
            return json.loads(plane.run(*command, stdin=yaml.safe_dump(manifest)))["spec"]

        # A policy takes effect shortly after it is applied. Until then, that of an earlier test may apply.
        for _ in range(100):
            if any("runAsNonRoot" in container.get("securityContext", {}) for container in admit()["containers"]):
                break
            time.sleep(0.1)
        return admit

    def test_no_container_may_gain_privileges(self, admit: Admit) -> None:
        spec = admit()
        assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
        restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        found = {one["name"]: one["securityContext"] for one in spec["containers"] + spec["initContainers"]}
        assert found == {
            "main": {**restricted, "runAsNonRoot": True},
            "wait": restricted,
            "kfp-launcher": {**restricted, "runAsUser": 1000},
            "istio-init": {**restricted, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
        }

    def test_the_rest_of_a_pod_is_unchanged(self, admit: Admit) -> None:
        spec = admit()
        containers = {one["name"]: one for one in spec["containers"] + spec["initContainers"]}
        for wanted in POD["containers"] + POD["initContainers"]:
            given = {key: value for key, value in wanted.items() if key != "securityContext"}
            assert given.items() <= containers[wanted["name"]].items()

    def test_a_pod_without_init_containers_is_accepted(self, admit: Admit) -> None:
        assert "initContainers" not in admit(initContainers=[])

    def test_a_privileged_container_is_refused(self, admit: Admit) -> None:
        container = {"name": "main", "image": "a", "securityContext": {"privileged": True}}
        with pytest.raises(AssertionError, match="cannot set `allowPrivilegeEscalation` to false and `privileged` to true"):
            admit(containers=[container])

    def test_other_pods_are_unchanged(self, admit: Admit) -> None:
        for spec in (admit(of_a_run=False), admit("default")):
            assert spec["securityContext"] == {}
            assert "securityContext" not in spec["containers"][0]
