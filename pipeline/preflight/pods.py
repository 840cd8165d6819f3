"""Checks that the cluster has nodes for the pods."""

from collections.abc import Mapping

from components.runtime.wording import count_of
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.gke import find_growing_pools
from pipeline.preflight.kubernetes_api import Cluster, Node, quantity
from pipeline.preflight.submission import Step, Submission


def check_gpu_nodes(submission: Submission, cluster: Cluster) -> str:
    """Looks for nodes for the steps with a GPU, or for pools that would create them."""
    nodes = cluster.nodes()
    said = [_check_gpu_nodes(step, nodes, cluster.name) for step in submission.steps if step.accelerators]
    return "; ".join(said) or "no step asks for a GPU"


def _check_gpu_nodes(step: Step, nodes: list[Node], cluster: str) -> str:
    if there := _with_gpus(step, nodes):
        return f"{count_of(len(_check_usable(step, there)), 'node')} for {step.name}{_check_kept_free(step, there)}"
    labels = _labels(step)
    absent = f"no node of {cluster} has {f'the labels {labels}' if labels else 'a GPU'} at present"
    advice = "create the pool, or give gpu_node_selector the labels that its nodes have (docs/cluster.md)"
    try:
        growing = _with_gpus(step, find_growing_pools(cluster))
    except NotCheckedError as error:
        raise NotCheckedError(f"{absent}, and {error}. This is fine if its pool scales from zero; otherwise {advice}") from None
    if not growing:
        raise FailedError(f"{absent}, and no pool can add one: {advice}")
    usable = _check_usable(step, growing)
    return f"none at present, but {usable[0].name} can add one for {step.name}{_check_kept_free(step, growing)}"


def _with_gpus(step: Step, nodes: list[Node]) -> list[Node]:
    """The nodes with the step's labels, or, if it has none, the nodes with GPUs."""
    (resource,) = step.accelerators
    return [node for node in nodes if node.has_labels(step.node_selector) and (step.node_selector or node.has(resource))]


def _check_usable(step: Step, nodes: list[Node]) -> list[Node]:
    """The nodes with enough GPUs and no taint that repels the step."""
    ((resource, count),) = step.accelerators.items()
    able = [node for node in nodes if node.has(resource) >= count]
    if not able:
        raise FailedError(
            f"{step.name} asks for {count} {resource}, and {nodes[0].name} offers {max(node.has(resource) for node in nodes)}. "
            "With 0, the node's GPU driver is not installed: create the pool with gpu-driver-version=default"
        )
    usable = [node for node in able if not node.repelling(step)]
    if not usable:
        raise FailedError(
            f"{able[0].name} has the taint {', '.join(able[0].repelling(step))}, which {step.name} does not tolerate. "
            f"Give the pool {f'only the taint {_tolerated(step)}' if step.tolerations else 'no taint'}"
        )
    return usable


def _check_kept_free(step: Step, nodes: list[Node]) -> str:
    if not step.tolerations or any(node.taints for node in nodes):
        return ""
    return f"; without a taint: pods that need no GPU may occupy it ({_tolerated(step)} keeps them away)"


def _labels(step: Step) -> str:
    return ", ".join(f"{key}={value}" for key, value in step.node_selector.items())


def _tolerated(step: Step) -> str:
    return ", ".join(f"{t['key']}={t.get('value') or 'present'}:{t.get('effect', 'NoSchedule')}" for t in step.tolerations)


def check_room(submission: Submission, cluster: Cluster) -> str:
    """Looks, for each step, for a node with enough CPU and memory, without counting running pods."""
    nodes = cluster.nodes()
    if not nodes:
        raise FailedError(f"{cluster.name} has no node that is ready")
    problems, unknown = [], []
    for step in submission.steps:
        candidates = [node for node in nodes if node.has_labels(step.node_selector) and not node.repelling(step)]
        wanted = {"cpu": step.cpu, "memory": step.memory}
        if not candidates:
            unknown.append(step.name)
        elif not any(_fits(wanted, node) for node in candidates):
            largest = max(candidates, key=lambda node: (node.has("memory"), node.has("cpu")))
            problems.append(
                f"{step.name} asks for {step.cpu} CPUs and {step.memory} of memory; {largest.name}, the largest node that it "
                f"may use, has {largest.has('cpu'):.1f} and {largest.has('memory') / 10**9:.1f}G"
            )
    if problems:
        raise FailedError("\n".join([*problems, "Give the pool larger machines"]))
    if unknown:
        raise NotCheckedError(f"there is no node at present that {', '.join(unknown)} may use; the other steps fit")
    return f"each step fits on one of {len(nodes)} nodes, if it is free"


def _fits(wanted: Mapping[str, str], node: Node) -> bool:
    return all(node.has(name) >= quantity(text) for name, text in wanted.items())
