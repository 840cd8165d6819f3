"""The checks of nodes, with the Kubernetes client and a server that answers like its API."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster, open_cluster
from pipeline.preflight.pods import check_gpu_nodes, check_room
from tests.pipeline.conftest import (
    GPU_TAINT,
    NODES_PATH,
    MakeSubmission,
    gpu_node,
    node,
    nodes,
)
from tests.pipeline.preflight.loopback import Answer, Loopback

SPOT_TAINT = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}


def test_a_node_with_the_gpu_and_its_taint_is_found(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback
) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"), gpu_node())
    assert check_gpu_nodes(make_submission(), cluster) == "1 node for train"
    assert loopback.requests[-1].authorization == "Bearer sesame"


def test_unschedulable_nodes_do_not_count(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    broken, cordoned = gpu_node(), gpu_node()
    broken["status"]["conditions"][0]["status"] = "Unknown"
    cordoned["spec"]["unschedulable"] = True
    loopback.answers[NODES_PATH] = nodes(broken, cordoned)
    with pytest.raises(NotCheckedError):
        check_gpu_nodes(make_submission(), cluster)


def test_a_missing_node_is_reported_with_advice(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"))
    words = "no node of cells-cluster has the labels cloud.google.com/gke-accelerator=nvidia-tesla-t4 at present"
    with pytest.raises(NotCheckedError, match=words):
        check_gpu_nodes(make_submission(), cluster)
    with pytest.raises(NotCheckedError, match="has a GPU at present"):
        check_gpu_nodes(make_submission("gpu_node_selector={}"), cluster)


def test_other_labels_may_be_chosen(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(node("mine", {"gpu": "yes"}, gpu="2"), node("cpu-1"))
    for selector in ("{}", '{"gpu": "yes"}'):
        said = check_gpu_nodes(make_submission(f"gpu_node_selector={selector}"), cluster)
        assert said.startswith("1 node for train; without a taint: pods that need no GPU may")
    submission = make_submission("gpu_node_selector={}")
    intolerant = tuple(replace(step, tolerations=()) for step in submission.steps)
    assert check_gpu_nodes(replace(submission, steps=intolerant), cluster) == "1 node for train"


def test_a_node_without_its_driver_is_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(gpu_node(gpu="0"))
    words = r"train asks for 1 nvidia\.com/gpu, and gpu-1 offers 0\. .* driver is not installed: .*gpu-driver-version=default"
    with pytest.raises(FailedError, match=words):
        check_gpu_nodes(make_submission(), cluster)


def test_an_untolerated_taint_is_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(gpu_node(taints=(GPU_TAINT, SPOT_TAINT)))
    words = r"gpu-1 has the taint cloud\.google\.com/gke-spot=true:NoSchedule, which train does not tolerate"
    with pytest.raises(FailedError, match=words):
        check_gpu_nodes(make_submission(), cluster)


@pytest.mark.parametrize(
    ("toleration", "is_enough"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations_are_matched_as_kubernetes_does(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback, toleration: dict[str, str], is_enough: bool
) -> None:
    loopback.answers[NODES_PATH] = nodes(gpu_node())
    submission = make_submission(pods={"train": {"tolerations": [toleration]}})
    if is_enough:
        assert "1 node for train" in check_gpu_nodes(submission, cluster)
    else:
        with pytest.raises(FailedError, match="does not tolerate"):
            check_gpu_nodes(submission, cluster)


def test_every_step_has_room(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"), gpu_node())
    assert check_room(make_submission(), cluster) == "each step fits on one of 2 nodes, if it is free"


def test_a_step_that_fits_on_no_node_is_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"), gpu_node(memory="12Gi"))
    with pytest.raises(FailedError, match=r"train asks for 4 CPUs and 16G of memory; gpu-1, .* has 7\.9 and 12\.9G\nGive"):
        check_room(make_submission(), cluster)
    loopback.answers[NODES_PATH] = nodes(node("cpu-1", cpu="3920m"), gpu_node())
    with pytest.raises(FailedError, match=r"convert asks for 4 CPUs"):
        check_room(make_submission(), cluster)


def test_a_pool_that_grows_from_none_leaves_room_unknown(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback
) -> None:
    loopback.answers[NODES_PATH] = nodes(node("cpu-1"))
    with pytest.raises(NotCheckedError, match="no node at present that train may use; the other steps fit"):
        check_room(make_submission(), cluster)
    loopback.answers[NODES_PATH] = nodes()
    with pytest.raises(FailedError, match="cells-cluster has no node that is ready"):
        check_room(make_submission(), cluster)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "does not accept the kubeconfig's credentials"), (403, "you may not list nodes"), (500, "answers with status 500")],
)
def test_a_cluster_that_refuses_could_not_be_checked(
    make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback, status: int, words: str
) -> None:
    loopback.answers[NODES_PATH] = Answer(status)
    with pytest.raises(NotCheckedError, match=words):
        check_gpu_nodes(make_submission(), cluster)


def test_an_unreachable_cluster_is_reported(make_submission: MakeSubmission, cluster: Cluster, loopback: Loopback) -> None:
    loopback.server_close()
    with pytest.raises(NotCheckedError, match=r"cells-cluster cannot be reached \(\w+\)"):
        check_gpu_nodes(make_submission(), cluster)


def test_an_invalid_kubeconfig_is_reported(kubeconfig: Path) -> None:
    with pytest.raises(NotCheckedError, match="there is no context other in the kubeconfig"):
        open_cluster("other")
    kubeconfig.write_text(yaml.safe_dump({"clusters": []}))
    with pytest.raises(NotCheckedError, match=r"nothing usable in the kubeconfig\. Set KUBECONFIG to another"):
        open_cluster("")
    kubeconfig.unlink()
    with pytest.raises(NotCheckedError, match="there is nothing usable in the kubeconfig"):
        open_cluster("")
