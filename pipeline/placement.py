"""Where each task runs on the cluster, with how much, for how long, and how often it is tried."""

from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineConfig, PipelineTask

# A constant: the backend silently drops a GPU count that is a pipeline parameter, and training would run on the CPU.
NUM_GPUS = 1
GPU_RESOURCE = "nvidia.com/gpu"
# The labels of the nodes that have the GPU, by default: T4 nodes as Google Kubernetes Engine labels them.
GKE_T4_NODES = {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}
# The Kubernetes secret with Kaggle's credentials, each key named as its environment variable. Without it, sources that ask for
# no credentials still work.
KAGGLE_SECRET = "kaggle"
KAGGLE_KEYS = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")

_HOUR_S = 3600
# No run takes longer: one that waits for a GPU node that never comes would keep scheduled runs from starting.
RUN_DEADLINE_S = 7 * 24 * _HOUR_S
# How long the pods of a finished run stay, and their logs with them.
KEPT_S = 7 * 24 * _HOUR_S


@dataclass(frozen=True)
class Resources:
    """What a task's pod gets.

    Attributes:
        cpu: The cores that are kept for it; it may use twice as many where they are idle.
        memory: Kept for it, and its limit.
        temporary: What it may write to /tmp, the one place that it can write to: shards on their way, an archive that cannot
            be read in place, a model.
        hours: How long one attempt may take, from the time that its pod has a node: Kubernetes does not count the wait for one.
        num_retries: How often it is tried again.
    """

    cpu: int
    memory: str
    temporary: str
    hours: float
    num_retries: int


RESOURCES = {
    "ingest": Resources(cpu=2, memory="2G", temporary="30Gi", hours=12, num_retries=2),
    "convert": Resources(cpu=4, memory="8G", temporary="30Gi", hours=12, num_retries=2),
    # GPU nodes are often preemptible ones: training carries on from its checkpoint.
    "train": Resources(cpu=4, memory="16G", temporary="30Gi", hours=72, num_retries=8),
    "evaluate": Resources(cpu=4, memory="8G", temporary="30Gi", hours=6, num_retries=2),
    "push": Resources(cpu=1, memory="1G", temporary="4Gi", hours=2, num_retries=2),
}


def pipeline_config() -> PipelineConfig:
    """How long a run may take, and how long what it leaves on the cluster stays."""
    return PipelineConfig(active_deadline_seconds=RUN_DEADLINE_S, ttl_seconds_after_finished=KEPT_S)


def place(gpu_node_selector: Any, **tasks: PipelineTask) -> None:
    """Gives each task its resources, training its GPU, and ingest Kaggle's credentials.

    The object store needs no secret: on Google Cloud the run's service account has access by workload identity.

    Args:
        gpu_node_selector: The pipeline's parameter: labels of the GPU nodes.
        **tasks: The tasks by name.
    """
    for name, task in tasks.items():
        _limit(task, RESOURCES[name])
        # KFP's cache goes by artifact ids and would return stale verdicts; steps find their own outputs by content.
        task.set_caching_options(enable_caching=False)
        task.set_display_name(name)
        # The images name a user that is a number and not root. None is named here: some clusters give each namespace its own.
        kubernetes.set_security_context(task, run_as_non_root=True)
    train = tasks["train"]
    train.set_accelerator_type(GPU_RESOURCE).set_accelerator_limit(NUM_GPUS)
    kubernetes.add_node_selector_json(train, gpu_node_selector)
    kubernetes.add_toleration(train, key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
    # What libraries of several GPUs exchange data through: a container has 64 MB of it by default.
    kubernetes.empty_dir_mount(train, "shared-memory", "/dev/shm", medium="Memory", size_limit="2Gi")
    kubernetes.use_secret_as_env(tasks["ingest"], KAGGLE_SECRET, {key: key for key in KAGGLE_KEYS}, optional=True)


def _limit(task: PipelineTask, wanted: Resources) -> None:
    task.set_cpu_request(str(wanted.cpu)).set_cpu_limit(str(2 * wanted.cpu))
    task.set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
    kubernetes.empty_dir_mount(task, "temporary", "/tmp", size_limit=wanted.temporary)
    kubernetes.set_timeout(task, int(wanted.hours * _HOUR_S))
    # The backend counts backoff_max_duration from the start of the first attempt and, once it is over, neither tries again nor
    # lets an attempt go on. It is no limit of a single wait.
    task.set_retry(
        num_retries=wanted.num_retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration=f"{RUN_DEADLINE_S}s"
    )
