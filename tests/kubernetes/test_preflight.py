"""Preflight's checks of the cluster, against a real API server with the rights of real users."""

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, ROOT
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.objects import check_objects
from pipeline.preflight.pods import check_gpu_nodes, check_room
from pipeline.preflight.retries import check_retries
from pipeline.preflight.submission import Submission, read_submission
from tests.kubernetes.control_plane import ADMIN, READER, ControlPlane
from tests.pipeline.conftest import GPU_TAINT, T4, gpu_node, node

pytestmark = pytest.mark.kubernetes

OpenAs = Callable[[str], Cluster]
AddNodes = Callable[..., None]
SPOT_TAINT = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
KAGGLE_SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kaggle", "namespace": "kubeflow"}}


@pytest.fixture
def add_nodes(plane: ControlPlane) -> Iterator[AddNodes]:
    """Registers nodes as their kubelets would."""

    def add(*nodes: dict[str, Any]) -> None:
        for each in nodes:
            name = str(each["metadata"]["name"])
            kind: dict[str, Any] = {"apiVersion": "v1", "kind": "Node"}
            plane.apply({**kind, "metadata": each["metadata"], "spec": each["spec"]})
            plane.apply({**kind, "metadata": {"name": name}, "status": each["status"]}, subresource="status")
            # Kubernetes taints each new node until its kubelet reports that it is ready. Here there is no kubelet.
            plane.run("taint", "node", name, "node.kubernetes.io/not-ready-")

    yield add
    plane.run("delete", "nodes", "--all")


@pytest.fixture
def reader_rights(plane: ControlPlane) -> Iterator[None]:
    """Grants the reader the rights in deploy/preflight-reader.yaml."""
    path = ROOT / "deploy" / "preflight-reader.yaml"
    plane.run("apply", "--filename", str(path))
    bindings = []
    roles = [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if "rules" in one]
    for role in roles:
        kind, name = role["kind"], role["metadata"]["name"]
        bindings.append(["-n", role["metadata"].get("namespace", "default"), f"{kind.lower()}binding", name])
        namespace, binding = bindings[-1][:2], bindings[-1][2:]
        plane.run(*namespace, "create", *binding, f"--{kind.lower()}={name}", f"--user={READER}")
    yield
    for namespace_option, namespace_name, kind, name in bindings:
        plane.run(namespace_option, namespace_name, "delete", kind, name)


def _submission(*arguments: str) -> Submission:
    return read_submission(PIPELINE_YAML, ["data_root=gs://cells/data", "serving_root=gs://cells/models", *arguments])


def test_gpu_node_with_its_taint_and_room_is_found(add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1"), gpu_node())
    cluster = open_as(ADMIN)
    assert check_gpu_nodes(_submission("source=synthetic:40"), cluster) == "1 node for train"
    assert check_room(_submission("source=synthetic:40"), cluster) == "each step fits on one of 2 nodes, if it is free"


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (gpu_node(gpu="0"), "train asks for 1 nvidia.com/gpu, and gpu-1 offers 0"),
        (node("gpu-1", T4, taints=(GPU_TAINT, SPOT_TAINT), gpu="1"), "has the taint cloud.google.com/gke-spot=true:NoSchedule"),
    ],
)
def test_node_that_train_cannot_use_fails(add_nodes: AddNodes, open_as: OpenAs, added: dict[str, Any], words: str) -> None:
    add_nodes(node("cpu-1"), added)
    with pytest.raises(FailedError, match=words):
        check_gpu_nodes(_submission("source=synthetic:40"), open_as(ADMIN))


def test_cordoned_node_does_not_count(plane: ControlPlane, add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1"), gpu_node())
    plane.run("cordon", "gpu-1")
    with pytest.raises(NotCheckedError, match="no node of test-cluster has the labels"):
        check_gpu_nodes(_submission("source=synthetic:40"), open_as(ADMIN))


def test_small_nodes_have_no_room(add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1", memory="4Gi"), gpu_node())
    with pytest.raises(FailedError, match=r"convert asks for 4 CPUs and 8G of memory; cpu-1"):
        check_room(_submission("source=synthetic:40"), open_as(ADMIN))


def test_kaggle_secret_is_looked_for(plane: ControlPlane, open_as: OpenAs) -> None:
    plane.run("-n", "kubeflow", "delete", "secret", "kaggle", "--ignore-not-found")
    submission, cluster = _submission("source=kaggle:cells"), open_as(ADMIN)
    with pytest.raises(FailedError, match="there is no Secret kaggle in the namespace kubeflow"):
        check_objects(submission, cluster, "kubeflow")
    with pytest.raises(AssertionError, match="not found"):  # what preflight has tried to create
        plane.run("-n", "kubeflow", "get", "secret", "kaggle")
    plane.apply({**KAGGLE_SECRET, "stringData": {"KAGGLE_API_TOKEN": "sesame"}})
    assert check_objects(submission, cluster, "kubeflow") == "kaggle in kubeflow"


def test_missing_rights_of_a_user_are_named(open_as: OpenAs) -> None:
    cluster = open_as(READER)
    with pytest.raises(NotCheckedError, match="you may not list nodes on test-cluster"):
        check_gpu_nodes(_submission("source=synthetic:40"), cluster)
    with pytest.raises(NotCheckedError, match="you may not create Secrets in the namespace kubeflow, even as a dry run"):
        check_objects(_submission("source=kaggle:cells"), cluster, "kubeflow")
    with pytest.raises(NotCheckedError, match="you may not read the ConfigMap workflow-controller-configmap"):
        check_retries(cluster, "kubeflow")


ARGO = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "workflow-controller-configmap", "namespace": "kubeflow"}}
# As Kubeflow Pipelines 2.17.0 installs it.
ARGO_DEFAULTS = {"spec": {"templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}}}}


def test_retries_patch_is_accepted_and_fixes_argo(plane: ControlPlane, open_as: OpenAs) -> None:
    cluster = open_as(ADMIN)
    plane.apply({**ARGO, "data": {"workflowDefaults": yaml.safe_dump(ARGO_DEFAULTS)}})
    with pytest.raises(FailedError, match="Argo's retryPolicy is OnError") as refused:
        check_retries(cluster, "kubeflow")
    _, command, _ = str(refused.value).split("`")
    plane.run(*shlex.split(command)[1:])
    assert check_retries(cluster, "kubeflow") == "after every fault, and no step more often than the pipeline says"


@pytest.mark.usefixtures("reader_rights")
def test_preflight_reader_role_is_enough(plane: ControlPlane, add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1"), gpu_node())
    plane.apply({**KAGGLE_SECRET, "stringData": {"KAGGLE_API_TOKEN": "sesame"}})
    plane.apply({**ARGO, "data": {"workflowDefaults": "{}"}})
    cluster = open_as(READER)
    with pytest.raises(FailedError, match="Argo's retryPolicy is OnFailure"):
        check_retries(cluster, "kubeflow")
    assert check_gpu_nodes(_submission("source=synthetic:40"), cluster) == "1 node for train"
    assert check_objects(_submission("source=kaggle:cells"), cluster, "kubeflow") == "kaggle in kubeflow"


@pytest.mark.usefixtures("reader_rights")
def test_preflight_reader_can_neither_read_nor_create_secrets(plane: ControlPlane) -> None:
    plane.apply({**KAGGLE_SECRET, "stringData": {"KAGGLE_API_TOKEN": "sesame"}})
    as_reader = ("-n", "kubeflow", "--as", READER)
    make = (*as_reader, "create", "secret", "generic", "mine", "--from-literal=a=b")
    plane.run(*make, "--dry-run=server")
    for command, words in (
        (make, "You may create Secrets as a dry run only"),
        ((*as_reader, "get", "secret", "kaggle"), "forbidden"),
        ((*as_reader, "get", "secrets"), "forbidden"),
        ((*as_reader, "patch", "secret", "kaggle", "--patch={}"), "forbidden"),
    ):
        with pytest.raises(AssertionError, match=words):
            plane.run(*command)
    plane.run("-n", "kubeflow", "create", "secret", "generic", "mine", "--from-literal=a=b")  # as the administrator
    plane.run("-n", "kubeflow", "delete", "secret", "mine")
