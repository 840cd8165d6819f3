"""Where each task runs on the cluster, with which resources and time limit, and how often it is retried."""

from dataclasses import dataclass
from typing import Any

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components.runtime.environment import POD_PREFIX
from pipeline.cluster_objects import KAGGLE, S3_KEYS, S3_PUSH_KEYS, S3_SETTINGS, ClusterObject, s3_keys_for

# A constant: the backend silently drops a GPU count that is a pipeline parameter, and training would run on the CPU.
NUM_GPUS = 1
GPU_RESOURCE = "nvidia.com/gpu"
# The labels of the nodes that have the GPU, by default: T4 nodes as Google Kubernetes Engine labels them.
GKE_T4_NODES = {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}

_HOUR_S = 3600
# The longest that a run may take, including waits for nodes: while it lasts, no scheduled run starts.
RUN_DEADLINE_S = 7 * 24 * _HOUR_S
# How long the pods of a finished run stay, and their logs with them. All three are set, because the server's defaults for
# successful and failed runs override a file's single value for both.
_KEPT = dict.fromkeys(("resourceTtlOnCompletion", "resourceTtlOnSuccess", "resourceTtlOnFailure"), 7 * 24 * _HOUR_S)


@dataclass(frozen=True)
class Resources:
    """What a task's pod gets.

    Attributes:
        cpu: The cores that are reserved for it; it may use twice as many if they are idle.
        memory: The memory that is reserved for it, and its limit.
        temporary: How much it may write to /tmp, the only folder that it can write to: shards in transit, an archive that
            cannot be read in place, a model.
        hours: How long one attempt may take once its pod has a node: Kubernetes does not count the wait for one.
        num_retries: How often it is retried.
    """

    cpu: int
    memory: str
    temporary: str
    hours: float
    num_retries: int


RESOURCES = {
    "ingest": Resources(cpu=2, memory="2G", temporary="30Gi", hours=12, num_retries=2),
    "convert": Resources(cpu=4, memory="8G", temporary="30Gi", hours=12, num_retries=2),
    # GPU nodes are often preemptible: training resumes from its checkpoint.
    "train": Resources(cpu=4, memory="16G", temporary="30Gi", hours=72, num_retries=8),
    "evaluate": Resources(cpu=4, memory="8G", temporary="30Gi", hours=6, num_retries=2),
    "push": Resources(cpu=1, memory="1G", temporary="4Gi", hours=2, num_retries=2),
}


def place(gpu_node_selector: Any, **tasks: PipelineTask) -> None:
    """Sets the resources and S3 settings of each task, the GPU of train, and the Kaggle credentials of ingest.

    Uses only settings that every supported release knows; `add_newest_settings` adds the others.

    Args:
        gpu_node_selector: The pipeline's parameter: labels of the GPU nodes.
        **tasks: The tasks by name.
    """
    for name, task in tasks.items():
        _limit(task, RESOURCES[name])
        # KFP's cache is keyed by artifact ids and would return stale verdicts; steps find their own outputs by content.
        task.set_caching_options(enable_caching=False)
        task.set_display_name(name)
        _mount(task, S3_SETTINGS)
        _mount(task, S3_KEYS)
    train = tasks["train"]
    train.set_accelerator_type(GPU_RESOURCE).set_accelerator_limit(NUM_GPUS)
    kubernetes.add_node_selector_json(train, gpu_node_selector)
    kubernetes.add_toleration(train, key=GPU_RESOURCE, operator="Exists", effect="NoSchedule")
    # Multi-GPU libraries exchange data through it, and a container has only 64 MB by default.
    kubernetes.empty_dir_mount(train, "shared-memory", "/dev/shm", medium="Memory", size_limit="2Gi")
    _mount(tasks["ingest"], KAGGLE)


def add_newest_settings(platform: dict[str, Any]) -> None:
    """Adds the settings that only the newest release knows to the second document of a compiled pipeline.

    The run gets a deadline, finished runs stay for longer than the server's default, and Kubernetes refuses to start a step as
    root. (The images name a user that is not root anyway. None is named here: some clusters give each namespace its own.)
    """
    kubernetes_platform = platform["platforms"]["kubernetes"]
    kubernetes_platform["pipelineConfig"] = {"activeDeadlineSeconds": RUN_DEADLINE_S, **_KEPT}
    for pod in kubernetes_platform["deploymentSpec"]["executors"].values():
        pod["securityContext"] = {"runAsNonRoot": True}


def remove_gpu(spec: dict[str, Any], platform: dict[str, Any]) -> None:
    """Lets train run on any node, without a GPU, in the two documents of a compiled pipeline."""
    del spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]["accelerator"]
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    del pod["nodeSelector"], pod["tolerations"]


def set_s3(spec: dict[str, Any], platform: dict[str, Any], endpoint: str, region: str, push_has_keys: bool = False) -> None:
    """Names the S3 endpoint and region in the two documents of a compiled pipeline; empty ones are left to the ConfigMap.

    If the endpoint is Kubeflow Pipelines' own store, its keys replace the S3 keys. If `push_has_keys`, push gets its own keys
    in any case.
    """
    settings = {f"{POD_PREFIX}AWS_ENDPOINT_URL_S3": endpoint, f"{POD_PREFIX}AWS_REGION": region}
    for executor in spec["deploymentSpec"]["executors"].values():
        executor["container"]["env"] = [{"name": name, "value": value} for name, value in settings.items() if value]
    for name, pod in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        keys = S3_PUSH_KEYS if push_has_keys and name == "exec-push" else s3_keys_for(endpoint)
        for volume in pod["secretAsVolume"]:
            if volume["secretName"] == S3_KEYS.name:
                volume |= {
                    "secretName": keys.name,
                    "secretNameParameter": {"runtimeValue": {"constant": keys.name}},
                    "mountPath": keys.mount_path,
                }


def _mount(task: PipelineTask, wanted: ClusterObject) -> None:
    """Mounts a Secret or a ConfigMap. The task also starts without it."""
    mount = {"Secret": kubernetes.use_secret_as_volume, "ConfigMap": kubernetes.use_config_map_as_volume}[wanted.kind]
    mount(task, wanted.name, wanted.mount_path, optional=True)


def _limit(task: PipelineTask, wanted: Resources) -> None:
    task.set_cpu_request(str(wanted.cpu)).set_cpu_limit(str(2 * wanted.cpu))
    task.set_memory_request(wanted.memory).set_memory_limit(wanted.memory)
    kubernetes.empty_dir_mount(task, "temporary", "/tmp", size_limit=wanted.temporary)
    kubernetes.set_timeout(task, int(wanted.hours * _HOUR_S))
    # The backend counts backoff_max_duration from the start of the first attempt and, once it is over, neither retries nor lets
    # an attempt continue. It does not limit a single wait.
    task.set_retry(
        num_retries=wanted.num_retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration=f"{RUN_DEADLINE_S}s"
    )
