"""Where each step runs on the cluster, and with how much."""

from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

# A constant: the backend silently drops a GPU count that is a pipeline parameter, and training would run on the CPU.
NUM_GPUS = 1
GPU_RESOURCE = "nvidia.com/gpu"
# The labels of the nodes that have the GPU, by default: T4 nodes as Google Kubernetes Engine labels them.
GKE_T4_NODES = {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}


@dataclass(frozen=True)
class Resources:
    """What a step's pod asks for, and how often it is tried again."""

    cpu: str
    memory: str
    num_retries: int


RESOURCES = {
    "ingest": Resources(cpu="2", memory="2G", num_retries=2),
    "convert": Resources(cpu="4", memory="8G", num_retries=2),
    # GPU nodes are often preemptible ones: training carries on from its checkpoint.
    "train": Resources(cpu="4", memory="16G", num_retries=10),
    "evaluate": Resources(cpu="4", memory="8G", num_retries=2),
    "push": Resources(cpu="1", memory="1G", num_retries=2),
}


def place(gpu_node_selector: Any, **tasks: PipelineTask) -> None:
    """Gives each task its resources, and training its GPU.

    Args:
        gpu_node_selector: The pipeline's parameter: labels of the GPU nodes.
        **tasks: The tasks by step name.
    """
    for step, task in tasks.items():
        wanted = RESOURCES[step]
        task.set_cpu_request(wanted.cpu).set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
        task.set_retry(num_retries=wanted.num_retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")
        # KFP's cache goes by artifact ids and would return stale verdicts; steps find their own outputs by content.
        task.set_caching_options(enable_caching=False)
        task.set_display_name(step)
    train = tasks["train"]
    train.set_accelerator_type(GPU_RESOURCE).set_accelerator_limit(NUM_GPUS)
    kubernetes.add_node_selector_json(train, gpu_node_selector)
    kubernetes.add_toleration(train, key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
