"""Preflight's checks of the cluster, against a real API server with the rights of real users."""

from collections.abc import Callable, Iterator

import pytest

from pipeline.compiled import PIPELINE_YAML, ROOT
from pipeline.preflight.finding import CouldNotLookError, FailedError
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

    def add(*nodes: dict[str, dict[str, object]]) -> None:
        for each in nodes:
            named = {"apiVersion": "v1", "kind": "Node", "metadata": each["metadata"]}
            # Kubernetes taints a node that registers, until its kubelet reports it as ready.
            plane.run("delete", "node", "--ignore-not-found", str(each["metadata"]["name"]))
            plane.apply({**named, "spec": each["spec"]})
            plane.apply({**named, "status": each["status"]}, subresource="status")
            plane.run("taint", "node", str(each["metadata"]["name"]), "node.kubernetes.io/not-ready-")

    yield add
    plane.run("delete", "nodes", "--all")


@pytest.fixture
def read_as_reader(plane: ControlPlane) -> Iterator[None]:
    """Gives the reader what deploy/preflight-reader.yaml allows."""
    manifest = str(ROOT / "deploy" / "preflight-reader.yaml")
    plane.run("apply", "--server-side", "--filename", manifest)
    bind = ["create", "--save-config=false"]
    plane.run(*bind, "clusterrolebinding", "reads-nodes", "--clusterrole=hpa-preflight-nodes", f"--user={READER}")
    plane.run(*bind, "-n", "kubeflow", "rolebinding", "reads-secret", "--role=hpa-preflight-secret", f"--user={READER}")
    yield
    plane.run("delete", "clusterrolebinding", "reads-nodes")
    plane.run("-n", "kubeflow", "delete", "rolebinding", "reads-secret")


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
def test_node_that_train_cannot_use_fails(add_nodes: AddNodes, open_as: OpenAs, added: dict[str, object], words: str) -> None:
    add_nodes(node("cpu-1"), added)
    with pytest.raises(FailedError, match=words):
        check_gpu_nodes(_submission("source=synthetic:40"), open_as(ADMIN))


def test_cordoned_node_does_not_count(plane: ControlPlane, add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1"), gpu_node())
    plane.run("cordon", "gpu-1")
    with pytest.raises(CouldNotLookError, match="no node of test-cluster has the labels"):
        check_gpu_nodes(_submission("source=synthetic:40"), open_as(ADMIN))


def test_small_nodes_have_no_room(add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1", memory="4Gi"), gpu_node())
    with pytest.raises(FailedError, match=r"convert asks for 4 CPUs and 8G of memory; cpu-1"):
        check_room(_submission("source=synthetic:40"), open_as(ADMIN))


def test_kaggle_secret_is_looked_for(plane: ControlPlane, open_as: OpenAs) -> None:
    submission, cluster = _submission("source=kaggle:cells"), open_as(ADMIN)
    with pytest.raises(FailedError, match="there is no Secret kaggle in the namespace kubeflow"):
        check_objects(submission, cluster, "kubeflow")
    plane.apply({**KAGGLE_SECRET, "stringData": {"token": "sesame"}})
    with pytest.raises(FailedError, match="the Secret kaggle lacks KAGGLE_API_TOKEN"):
        check_objects(submission, cluster, "kubeflow")
    plane.apply({**KAGGLE_SECRET, "stringData": {"KAGGLE_API_TOKEN": "sesame"}})
    assert check_objects(submission, cluster, "kubeflow") == "kaggle in kubeflow"
    plane.run("-n", "kubeflow", "delete", "secret", "kaggle")


def test_user_without_rights_is_told_which_are_missing(open_as: OpenAs) -> None:
    cluster = open_as(READER)
    with pytest.raises(CouldNotLookError, match="you may not list nodes on test-cluster"):
        check_gpu_nodes(_submission("source=synthetic:40"), cluster)
    with pytest.raises(CouldNotLookError, match="you may not read secrets in the namespace kubeflow on test-cluster"):
        check_objects(_submission("source=kaggle:cells"), cluster, "kubeflow")


@pytest.mark.usefixtures("read_as_reader")
def test_preflight_reader_role_is_enough(plane: ControlPlane, add_nodes: AddNodes, open_as: OpenAs) -> None:
    add_nodes(node("cpu-1"), gpu_node())
    plane.apply({**KAGGLE_SECRET, "stringData": {"KAGGLE_API_TOKEN": "sesame"}})
    cluster = open_as(READER)
    assert check_gpu_nodes(_submission("source=synthetic:40"), cluster) == "1 node for train"
    assert check_objects(_submission("source=kaggle:cells"), cluster, "kubeflow") == "kaggle in kubeflow"
    plane.run("-n", "kubeflow", "delete", "secret", "kaggle")
