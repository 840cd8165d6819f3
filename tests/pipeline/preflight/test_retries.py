"""The check of Argo's retries, with the configurations that Kubeflow Pipelines installs and the one that the check advises."""

import json
import shlex
from typing import Any

import pytest
import yaml

from pipeline.compiled import ROOT
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.kubernetes_api import Cluster
from pipeline.preflight.retries import check_retries
from tests.pipeline.conftest import ARGO_PATH, config_map
from tests.pipeline.preflight.loopback import Answer, Loopback

# What 2.17.0 installs; 2.16 installs no defaults.
DEFAULTS_2_17 = """
spec:
  ttlStrategy: {secondsAfterSuccess: 3600, secondsAfterFailure: 3600}
  templateDefaults:
    retryStrategy: {limit: '2', retryPolicy: OnError}
"""
DELETED = "a deleted pod (a drained or lost node) would end the run"
FAILED = "an evicted pod, a graceful node shutdown, an out-of-memory kill or a crash would end the run"
TWICE = "groups of tasks are also retried"


def _strategy(**strategy: Any) -> str:
    return yaml.safe_dump({"spec": {"templateDefaults": {"retryStrategy": strategy}}})


def _refusal(cluster: Cluster, loopback: Loopback, **data: str) -> str:
    loopback.answers[ARGO_PATH] = config_map(**data)
    with pytest.raises(FailedError) as refused:
        check_retries(cluster, "team")
    return str(refused.value)


@pytest.mark.parametrize(
    ("data", "policy", "problems"),
    [
        ({}, "OnFailure", {DELETED}),
        ({"workflowDefaults": ""}, "OnFailure", {DELETED}),
        ({"workflowDefaults": DEFAULTS_2_17}, "OnError", {FAILED, TWICE}),
        ({"workflowDefaults": _strategy(limit="2", retryPolicy="Always")}, "Always", {TWICE}),
        ({"workflowDefaults": _strategy(retryPolicy="Always")}, "Always", {TWICE}),
        ({"workflowDefaults": _strategy(limit=0)}, "OnFailure", {DELETED}),
        ({"workflowDefaults": _strategy(limit=0, retryPolicy="OnTransientError")}, "OnTransientError", {DELETED, FAILED}),
    ],
)
def test_a_fault_that_would_end_the_run_is_reported(
    cluster: Cluster, loopback: Loopback, data: dict[str, str], policy: str, problems: set[str]
) -> None:
    said = _refusal(cluster, loopback, **data)
    assert said.startswith(f"Argo's retryPolicy is {policy}: ")
    assert {problem for problem in (DELETED, FAILED, TWICE) if problem in said} == problems


@pytest.mark.parametrize(
    "data",
    [
        {"artifactRepository": "archiveLogs: true\n"},
        {"artifactRepository": "archiveLogs: true\n", "workflowDefaults": DEFAULTS_2_17},
        {"config": yaml.safe_dump({"instanceID": "cells", "workflowDefaults": yaml.safe_load(DEFAULTS_2_17)})},
        {"config": "instanceID: cells\n"},
        {"config": "# nothing\n"},
    ],
)
def test_the_advised_command_fixes_it_and_changes_nothing_else(
    cluster: Cluster, loopback: Loopback, data: dict[str, str]
) -> None:
    command = _refusal(cluster, loopback, **data).partition("`")[2].removesuffix("`")
    words = shlex.split(command)
    assert shlex.join(words[:-1]) == "kubectl -n kubeflow patch configmap workflow-controller-configmap --type merge -p"
    patched = data | json.loads(words[-1])["data"]
    loopback.answers[ARGO_PATH] = config_map(**patched)
    assert check_retries(cluster, "team") == "after every fault, and no step more often than the pipeline says"
    assert set(patched) == set(data) | ({"workflowDefaults"} if "config" not in data else set())
    before, after = (_settings(content) for content in (data, patched))
    after["workflowDefaults"]["spec"]["templateDefaults"].pop("retryStrategy")
    before.setdefault("workflowDefaults", {}).setdefault("spec", {}).setdefault("templateDefaults", {}).pop("retryStrategy", 0)
    assert after == before


def test_documented_command_is_the_one_for_an_argo_without_settings(cluster: Cluster, loopback: Loopback) -> None:
    words = shlex.split(_refusal(cluster, loopback).partition("`")[2].removesuffix("`"))
    lines = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8").splitlines()
    (documented,) = [line for line in lines if line.startswith("kubectl -n kubeflow patch configmap workflow-controller")]
    assert [*shlex.split(documented)[:-1], json.loads(shlex.split(documented)[-1])] == [*words[:-1], json.loads(words[-1])]


def _settings(data: dict[str, str]) -> dict[str, Any]:
    if "config" in data:
        return dict(yaml.safe_load(data["config"]) or {})
    return {key: yaml.safe_load(text) for key, text in data.items()}


def test_argo_in_the_namespace_of_the_pods_is_found(cluster: Cluster, loopback: Loopback) -> None:
    path = ARGO_PATH.replace("/kubeflow/", "/team/")
    loopback.answers[path] = config_map()
    with pytest.raises(FailedError, match="`kubectl -n team patch configmap"):
        check_retries(cluster, "team")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(403), "you may not read the ConfigMap workflow-controller-configmap in the namespace kubeflow"),
        (Answer(404), r"no ConfigMap workflow-controller-configmap in kubeflow: ask who installed Argo \(docs/cluster\.md\)"),
        (config_map(workflowDefaults="spec: ["), "workflow-controller-configmap in kubeflow is not in Argo's format"),
        (config_map(workflowDefaults="spec"), "is not in Argo's format"),
        (
            config_map(workflowDefaults=_strategy(expression="lastRetry.exitCode == '1'")),
            "Argo decides with an expression: last",
        ),
    ],
)
def test_an_unreadable_configuration_could_not_be_checked(
    cluster: Cluster, loopback: Loopback, answer: Answer, words: str
) -> None:
    loopback.answers[ARGO_PATH] = answer
    with pytest.raises(NotCheckedError, match=words):
        check_retries(cluster, "team")
