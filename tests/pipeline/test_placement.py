"""The placement of each task in pipeline.yaml: resources, limits, retries and mounts."""

from typing import Any

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, compile_pipeline, load_steps, step_tasks
from pipeline.placement import RUN_DEADLINE_S
from pipeline.releases import Release

SPEC, PLATFORM = yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8"))
PODS = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
TASKS = step_tasks(SPEC)
HOUR_S = 3600
STORE = "https://s3.example.com"


def _pods(platform: dict[str, Any]) -> dict[str, Any]:
    pods: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return pods


def _resources(task: str) -> dict[str, Any]:
    resources: dict[str, Any] = SPEC["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["resources"]
    return resources


def test_every_task_has_a_placement() -> None:
    assert set(TASKS) == set(load_steps()) == {name.removeprefix("exec-") for name in PODS}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_resource_requests_limits_and_a_deadline(task: str) -> None:
    resources = _resources(task)
    assert int(resources["resourceCpuLimit"]) == 2 * int(resources["resourceCpuRequest"]) > 0
    assert resources["resourceMemoryLimit"] == resources["resourceMemoryRequest"]
    assert 0 < int(PODS[f"exec-{task}"]["activeDeadlineSeconds"]) <= 72 * HOUR_S


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_limited_space_for_temporary_files(task: str) -> None:
    pod = PODS[f"exec-{task}"]
    (temporary,) = (mount for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/tmp")
    assert temporary["sizeLimit"].endswith("Gi")
    assert "medium" not in temporary  # on the node's disk, not in memory


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_cached_by_kubeflow(task: str) -> None:
    assert not TASKS[task]["cachingOptions"].get("enableCache")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_retried_with_exponential_backoff(task: str) -> None:
    policy = TASKS[task]["retryPolicy"]
    assert policy["maxRetryCount"] == (8 if task == "train" else 2)
    assert policy["backoffFactor"] == 2
    # The backend stops retrying, and stops a running attempt, this long after the start of the first attempt.
    assert policy["backoffMaxDuration"] == f"{RUN_DEADLINE_S}s"
    first_wait_s = int(policy["backoffDuration"].removesuffix("s"))
    assert first_wait_s * 2 ** (policy["maxRetryCount"] - 1) <= 2 * HOUR_S


def test_the_newest_release_limits_and_deletes_runs_and_forbids_root() -> None:
    spec, platform = yaml.safe_load_all(compile_pipeline(Release.NEWEST))
    config = platform["platforms"]["kubernetes"].pop("pipelineConfig")
    longest_s = sum(int(pod["activeDeadlineSeconds"]) for pod in PODS.values())
    assert longest_s < config.pop("activeDeadlineSeconds") <= 7 * 24 * HOUR_S
    # The server's defaults for succeeded and for failed runs take precedence over a setting for both.
    assert config == dict.fromkeys(("resourceTtlOnCompletion", "resourceTtlOnSuccess", "resourceTtlOnFailure"), 7 * 24 * HOUR_S)
    assert [pod.pop("securityContext") for pod in _pods(platform).values()] == [{"runAsNonRoot": True}] * len(PODS)
    assert [spec, platform] == [SPEC, PLATFORM]  # and nothing else


def test_train_gets_one_gpu_on_the_nodes_that_the_parameter_selects() -> None:
    accelerator = _resources("train")["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert not [task for task in TASKS if task != "train" and "accelerator" in _resources(task)]
    assert PODS["exec-train"]["nodeSelector"]["nodeSelectorJson"] == {"componentInputParameter": "gpu_node_selector"}
    assert SPEC["root"]["inputDefinitions"]["parameters"]["gpu_node_selector"]["parameterType"] == "STRUCT"
    assert PODS["exec-train"]["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    (memory,) = (mount for mount in PODS["exec-train"]["emptyDirMounts"] if mount["mountPath"] == "/dev/shm")
    assert (memory["medium"], memory["sizeLimit"]) == ("Memory", "2Gi")


def _mounted(pod: dict[str, Any], kind: str = "secret") -> dict[str, str]:
    """The mount paths of a pod's optional Secrets or ConfigMaps by name."""
    volumes = pod[f"{kind}AsVolume"]
    assert all(volume["optional"] for volume in volumes)
    assert all(volume[f"{kind}NameParameter"]["runtimeValue"]["constant"] == volume[f"{kind}Name"] for volume in volumes)
    return {volume[f"{kind}Name"]: volume["mountPath"] for volume in volumes}


def test_only_ingest_gets_kaggles_credentials_from_an_optional_secret() -> None:
    assert [name for name, pod in PODS.items() if "kaggle" in _mounted(pod)] == ["exec-ingest"]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_gets_s3_settings_and_keys_from_optional_objects(task: str) -> None:
    pod = PODS[f"exec-{task}"]
    assert _mounted(pod, "configMap") == {"hpa-pipeline-s3": "/etc/hpa-pipeline/hpa-pipeline-s3"}
    assert _mounted(pod).get("hpa-pipeline-s3-keys") == "/etc/hpa-pipeline/hpa-pipeline-s3-keys"
    # In the pod's environment, they would also apply to Kubeflow's launcher and override its web identity.
    assert not {"secretAsEnv", "configMapAsEnv"} & set(pod)
    assert "env" not in SPEC["deploymentSpec"]["executors"][f"exec-{task}"]["container"]


def test_a_compiled_s3_store_is_named_in_every_task() -> None:
    spec, platform = yaml.safe_load_all(compile_pipeline(s3_endpoint=STORE, s3_region="eu-west-1"))
    expected = [{"name": "HPA_AWS_ENDPOINT_URL_S3", "value": STORE}, {"name": "HPA_AWS_REGION", "value": "eu-west-1"}]
    assert [executor["container"].pop("env") for executor in spec["deploymentSpec"]["executors"].values()] == (
        [expected] * len(PODS)
    )
    assert [spec, platform] == [SPEC, PLATFORM]  # and nothing else


def test_without_a_gpu_train_runs_on_any_node_and_nothing_else_changes() -> None:
    spec, platform = yaml.safe_load_all(compile_pipeline(with_gpu=False))
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    pod = _pods(platform)["exec-train"]
    assert not resources.keys() & {"accelerator"} | pod.keys() & {"nodeSelector", "tolerations"}
    resources["accelerator"] = _resources("train")["accelerator"]
    pod |= {name: PODS["exec-train"][name] for name in ("nodeSelector", "tolerations")}
    assert (spec, platform) == (SPEC, PLATFORM)
