"""The check of pools without nodes, against a server that answers like Google Kubernetes Engine, with Google's sign-in."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.gke import find_growing_pools
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.pods import check_gpu_nodes
from tests.pipeline.conftest import NODES_PATH, MakeSubmission, node, nodes
from tests.pipeline.preflight.loopback import Answer, Loopback

CLUSTER_PATH = "/v1/projects/my-project/locations/europe-west4-b/clusters/hpa"
GKE_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}


@pytest.fixture
def gke(cluster: Cluster, loopback: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    """A GKE cluster without a GPU node, and an account that may read it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "me@my-project.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": f"{loopback.url}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER", loopback.url + "/")
    loopback.answers |= {
        "/token": Answer(body={"access_token": "open-sesame", "expires_in": 3600, "token_type": "Bearer"}),
        NODES_PATH: nodes(node("cpu-1")),
    }
    return Cluster("gke_my-project_europe-west4-b_hpa", cluster.api)


def _pool(
    gpu: dict[str, Any] | None = None, max_nodes: int = 1, taints: tuple[dict[str, str], ...] = (GKE_TAINT,)
) -> dict[str, Any]:
    accelerator = {"acceleratorCount": "1", "acceleratorType": "nvidia-tesla-t4"} | (gpu or {})
    scaling = {"enabled": True, "maxNodeCount": max_nodes} if max_nodes else {}
    return {"name": "gpu", "config": {"accelerators": [accelerator], "taints": list(taints)}, "autoscaling": scaling}


def _answer(loopback: Loopback, *pools: dict[str, Any], **settings: Any) -> None:
    default = {"name": "default-pool", "config": {}, "autoscaling": {"enabled": True, "maxNodeCount": 3}}
    loopback.answers[CLUSTER_PATH] = Answer(body={"nodePools": [default, *pools], **settings})


def test_a_pool_that_grows_from_none_is_found(make_submission: MakeSubmission, gke: Cluster, loopback: Loopback) -> None:
    _answer(loopback, _pool())
    assert check_gpu_nodes(make_submission(), gke) == "none at present, but the pool gpu can add one for train"
    assert loopback.requests[-1].authorization == "Bearer open-sesame"
    assert check_gpu_nodes(make_submission("gpu_node_selector={}"), gke).startswith("none at present, but the pool gpu")
    named = make_submission('gpu_node_selector={"cloud.google.com/gke-nodepool": "gpu"}')
    assert check_gpu_nodes(named, gke).startswith("none at present, but the pool gpu")


@pytest.mark.parametrize("pools", [(), (_pool(max_nodes=0),), (_pool({"acceleratorType": "nvidia-l4"}),)])
def test_a_missing_pool_fails(
    make_submission: MakeSubmission, gke: Cluster, loopback: Loopback, pools: tuple[dict[str, Any], ...]
) -> None:
    _answer(loopback, *pools)
    with pytest.raises(FailedError, match="and no pool can add one: create the pool, or give gpu_node_selector"):
        check_gpu_nodes(make_submission(), gke)


def test_a_pool_that_train_cannot_use_fails(make_submission: MakeSubmission, gke: Cluster, loopback: Loopback) -> None:
    _answer(loopback, _pool({"gpuDriverInstallationConfig": {"gpuDriverVersion": "INSTALLATION_DISABLED"}}))
    with pytest.raises(FailedError, match=r"the pool gpu offers 0\. With 0, the node's GPU driver is not installed"):
        check_gpu_nodes(make_submission(), gke)
    _answer(loopback, _pool(taints=({"key": "team", "value": "a", "effect": "NO_EXECUTE"},)))
    with pytest.raises(FailedError, match="the pool gpu has the taint team=a:NoExecute, which train does not tolerate"):
        check_gpu_nodes(make_submission(), gke)


@pytest.mark.parametrize("settings", [{"autopilot": {"enabled": True}}, {"autoscaling": {"enableNodeAutoprovisioning": True}}])
def test_a_cluster_with_node_auto_provisioning_could_not_be_checked(
    make_submission: MakeSubmission, gke: Cluster, loopback: Loopback, settings: dict[str, Any]
) -> None:
    _answer(loopback, **settings)
    with pytest.raises(NotCheckedError, match="at present, and this cluster creates pools on demand"):
        check_gpu_nodes(make_submission(), gke)


def test_an_unreachable_api_could_not_be_checked(gke: Cluster, loopback: Loopback) -> None:
    loopback.answers[CLUSTER_PATH] = Answer(403)
    with pytest.raises(NotCheckedError, match=r"does not list its pools \(403\)"):
        find_growing_pools(gke.name)
    loopback.answers["/token"] = Answer(400, {"error": "invalid_grant", "error_description": "sesame"})
    with pytest.raises(NotCheckedError, match=r"cannot be asked for its pools \(RefreshError\)"):
        find_growing_pools(gke.name)
    with pytest.raises(NotCheckedError, match="only Google Kubernetes Engine lists"):
        find_growing_pools("minikube")
