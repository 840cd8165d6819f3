"""The manifests in deploy/ fit Kubernetes's schemas and hold no secrets."""

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from components import __version__
from pipeline.compiled import ROOT

FILES = sorted((ROOT / "deploy").glob("*.yaml"))

# The fields of KServe's InferenceService (API reference 0.21) that deploy/ uses. The other fields of a predictor are a pod's.
_PREDICTOR = {
    "minReplicas": {"type": "integer"},
    "maxReplicas": {"type": "integer"},
    "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
    "scaleTarget": {"type": "integer"},
}
_INFERENCE_SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["predictor"],
            "properties": {"predictor": {"type": "object", "properties": _PREDICTOR}},
        },
    },
}


def read_manifests(path: Path) -> list[dict[str, Any]]:
    """The manifests of a file, with each InferenceService replaced by its pod, which Kubernetes' own schemas cover."""
    return [_pod_of(one) if one["kind"] == "InferenceService" else one for one in _read(path)]


def _read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _pod_of(service: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(service, _INFERENCE_SERVICE)
    spec = {name: value for name, value in service["spec"]["predictor"].items() if name not in _PREDICTOR}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": spec}


def _container(name: str, kind: str) -> dict[str, Any]:
    """The only container of a manifest."""
    (spec,) = (one["spec"] for one in _read(ROOT / "deploy" / name) if one["kind"] == kind)
    (container,) = (spec["template"]["spec"] if kind == "Deployment" else spec["predictor"])["containers"]
    return container


SERVER = _container("serve.yaml", "Deployment")


def test_there_are_manifests() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_fit_the_schemas(path: Path) -> None:
    for manifest in read_manifests(path):
        is_new = manifest["kind"].startswith("MutatingAdmissionPolicy")
        kubernetes_validate.validate(manifest, "1.36" if is_new else "1.32", strict=True)


def test_the_schemas_refuse_a_misspelt_field() -> None:
    (manifest,) = _read(ROOT / "deploy" / "service-account.yaml")
    manifest["metdata"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_the_schemas_refuse_a_misspelt_field_of_a_predictor() -> None:
    (service,) = _read(ROOT / "deploy" / "inference-service.yaml")
    service["spec"]["predictor"]["maxReplica"] = 4
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(_pod_of(service), "1.32", strict=True)


def test_kserve_and_the_deployment_start_the_server_alike() -> None:
    container = _container("inference-service.yaml", "InferenceService")
    assert container["name"] == "kserve-container"  # which KServe asks for
    (port,) = (port["containerPort"] for port in SERVER["ports"])
    assert container["ports"] == [{"containerPort": port, "protocol": "TCP"}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        by_number = SERVER[probe]["httpGet"] | {"port": port}
        assert container[probe] == SERVER[probe] | {"httpGet": by_number}
    for name in ("image", "args", "envFrom", "resources", "securityContext", "volumeMounts"):
        assert container[name] == SERVER[name], name
    assert container["image"] == f"REGISTRY/serve:{__version__}-cpu"


def test_secrets_have_no_values() -> None:
    secrets = [manifest for path in FILES for manifest in _read(path) if manifest["kind"] == "Secret"]
    assert secrets
    assert not [
        value for secret in secrets for value in {**secret.get("data", {}), **secret.get("stringData", {})}.values() if value
    ]
