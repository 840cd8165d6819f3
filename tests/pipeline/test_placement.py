"""Where each task runs, as pipeline.yaml says it to the cluster."""

from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from pipeline.compiled import PIPELINE_YAML, load_steps, step_tasks

SPEC, PLATFORM = yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8"))
PODS = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
TASKS = step_tasks(SPEC)
HOUR_S = 3600


def _resources(task: str) -> dict[str, Any]:
    resources: dict[str, Any] = SPEC["deploymentSpec"]["executors"][f"exec-{task}"]["container"]["resources"]
    return resources


def test_kubeflow_knows_every_field_of_it() -> None:
    json_format.ParseDict(SPEC, PipelineSpec())
    json_format.ParseDict(PLATFORM, PlatformSpec())
    for pod in PODS.values():
        json_format.ParseDict(pod, KubernetesExecutorConfig())
    with pytest.raises(json_format.ParseError, match="runAsRoot"):
        json_format.ParseDict({"securityContext": {"runAsRoot": True}}, KubernetesExecutorConfig())


def test_every_task_is_placed() -> None:
    assert set(TASKS) == set(load_steps()) == {name.removeprefix("exec-") for name in PODS}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_a_share_and_a_limit_of_the_node_and_of_time(task: str) -> None:
    resources = _resources(task)
    assert int(resources["resourceCpuLimit"]) == 2 * int(resources["resourceCpuRequest"]) > 0
    assert resources["resourceMemoryLimit"] == resources["resourceMemoryRequest"]
    assert 0 < int(PODS[f"exec-{task}"]["activeDeadlineSeconds"]) <= 72 * HOUR_S


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_no_root_and_has_a_limited_place_for_temporary_files(task: str) -> None:
    pod = PODS[f"exec-{task}"]
    assert pod["securityContext"] == {"runAsNonRoot": True}
    (temporary,) = (mount for mount in pod["emptyDirMounts"] if mount["mountPath"] == "/tmp")
    assert temporary["sizeLimit"].endswith("Gi")
    assert "medium" not in temporary  # on the node's disk


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_cached_by_kubeflow(task: str) -> None:
    assert not TASKS[task]["cachingOptions"].get("enableCache")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_tried_again_with_growing_waits_until_the_run_must_end(task: str) -> None:
    policy = TASKS[task]["retryPolicy"]
    assert policy["maxRetryCount"] == (8 if task == "train" else 2)
    assert policy["backoffFactor"] == 2
    # The backend stops trying, and stops what runs, when this time is over since the start of the first attempt.
    run_deadline_s = PLATFORM["platforms"]["kubernetes"]["pipelineConfig"]["activeDeadlineSeconds"]
    assert policy["backoffMaxDuration"] == f"{run_deadline_s}s"
    first_wait_s = int(policy["backoffDuration"].removesuffix("s"))
    assert first_wait_s * 2 ** (policy["maxRetryCount"] - 1) <= 2 * HOUR_S


def test_a_run_ends_and_is_cleared_away_within_a_fortnight() -> None:
    config = PLATFORM["platforms"]["kubernetes"]["pipelineConfig"]
    longest_s = sum(int(pod["activeDeadlineSeconds"]) for pod in PODS.values())
    assert longest_s < config["activeDeadlineSeconds"] <= 7 * 24 * HOUR_S
    assert config["resourceTtlOnCompletion"] == 7 * 24 * HOUR_S


def test_training_gets_one_gpu_on_the_nodes_that_the_parameter_selects() -> None:
    accelerator = _resources("train")["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
    assert not [task for task in TASKS if task != "train" and "accelerator" in _resources(task)]
    assert PODS["exec-train"]["nodeSelector"]["nodeSelectorJson"] == {"componentInputParameter": "gpu_node_selector"}
    assert SPEC["root"]["inputDefinitions"]["parameters"]["gpu_node_selector"]["parameterType"] == "STRUCT"
    assert PODS["exec-train"]["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    (memory,) = (mount for mount in PODS["exec-train"]["emptyDirMounts"] if mount["mountPath"] == "/dev/shm")
    assert (memory["medium"], memory["sizeLimit"]) == ("Memory", "2Gi")


def test_ingest_alone_gets_kaggles_credentials_from_a_secret_that_need_not_exist() -> None:
    (secret,) = PODS["exec-ingest"]["secretAsEnv"]
    assert (secret["secretName"], secret["optional"]) == ("kaggle", True)
    names = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY")
    assert secret["keyToEnv"] == [{"envVar": name, "secretKey": name} for name in names]
    assert not [name for name, pod in PODS.items() if name != "exec-ingest" and "secretAsEnv" in pod]
