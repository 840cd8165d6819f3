"""Runs of the command, servers on loopback, a cluster of nodes, and compiled pipelines."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import kube_config

from pipeline.compiled import PIPELINE_YAML, ROOT
from pipeline.container_images import with_images
from pipeline.placement import set_s3
from pipeline.preflight.kubernetes_api import Cluster, open_cluster
from pipeline.preflight.submission import Submission, read_submission
from tests.pipeline.kfp_server import KfpServer, running_kfp_server
from tests.pipeline.preflight.loopback import Answer, Loopback, Request, serving

T4 = {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
NODES_PATH = "/api/v1/nodes"
SECRETS_PATH = "/api/v1/namespaces/kubeflow/secrets"
ARGO_PATH = "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap"

MakeFile = Callable[..., Path]
MakeSubmission = Callable[..., Submission]


def run_pipeline(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the pipeline below a folder, by its command."""
    command = [sys.executable, "-m", "pipeline", "run", "--pipeline-root", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def commands_of(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of a command and of all commands in it."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, (*words, name))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    """A Kubeflow Pipelines server, to which KFP_HOST points."""
    for variable in (
        "KF_PIPELINES_ENDPOINT",
        "KF_PIPELINES_UI_ENDPOINT",
        "KFP_NAMESPACE",
        "KFP_EXISTING_TOKEN",
        "KFP_ENDPOINT",
        "KFP_HOST",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", "/no/kubeconfig")
    with running_kfp_server() as running:
        monkeypatch.setenv("KFP_HOST", running.address)
        yield running


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def _compiled() -> list[dict[str, Any]]:
    text = with_images(PIPELINE_YAML.read_text(encoding="utf-8"), tag="1")
    return list(yaml.safe_load_all(text))


@pytest.fixture
def make_file(tmp_path: Path, _compiled: list[dict[str, Any]]) -> MakeFile:
    """Compiles a pipeline with images in the given registry and the given settings of pods.

    `pods` maps steps to Kubernetes settings, which replace those of the compiled pipeline.
    """

    def make(registry: str = "", pods: dict[str, dict[str, Any]] | None = None, s3_endpoint: str = "") -> Path:
        spec, platform = copy.deepcopy(_compiled)
        for executor in spec["deploymentSpec"]["executors"].values():
            executor["container"]["image"] = f"{registry or 'hpa-pipeline'}/{executor['container']['image'].partition('/')[2]}"
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for step, settings in (pods or {}).items():
            executors.setdefault(f"exec-{step}", {}).update(settings)
        if s3_endpoint:
            set_s3(spec, platform, s3_endpoint, "")
        path = tmp_path / "cluster.yaml"
        path.write_text("\n---\n".join(map(json.dumps, (spec, platform))))  # JSON is valid YAML and quick to write
        return path

    return make


@pytest.fixture
def make_submission(make_file: MakeFile) -> MakeSubmission:
    """Reads a pipeline from `make_file` for submission with the given arguments."""

    def make(*arguments: str, **settings: Any) -> Submission:
        return read_submission(make_file(**settings), list(arguments))

    return make


def config_map(**data: str) -> Answer:
    """The response to a request for a ConfigMap."""
    return Answer(body={"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "asked-for"}, "data": data})


def secrets(*names: str) -> Callable[[Request], Answer]:
    """Answers a dry run of creating a Secret in a namespace with these Secrets."""

    def answer(request: Request) -> Answer:
        assert request.query == "dryRun=All"
        wanted = json.loads(request.body)
        return Answer(409 if wanted["metadata"]["name"] in names else 201, wanted)

    return answer


def node(
    name: str,
    labels: dict[str, str] | None = None,
    taints: tuple[dict[str, str], ...] = (),
    is_ready: bool = True,
    is_cordoned: bool = False,
    **allocatable: str,
) -> dict[str, Any]:
    """A node as described by Kubernetes."""
    room = {"cpu": "7910m", "memory": "27Gi", "ephemeral-storage": "47093746742"} | {
        key.replace("_", "-"): value for key, value in allocatable.items()
    }
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints), "unschedulable": is_cordoned},
        "status": {
            "allocatable": {key.replace("gpu", "nvidia.com/gpu"): value for key, value in room.items()},
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "Unknown"}],
        },
    }


def gpu_node(
    name: str = "gpu-1", taints: tuple[dict[str, str], ...] = (GPU_TAINT,), gpu: str = "1", **room: str
) -> dict[str, Any]:
    """A node with a T4."""
    return node(name, T4, taints, gpu=gpu, **room)


def nodes(*listed: dict[str, Any]) -> Answer:
    """The response to a request for nodes."""
    return Answer(body={"kind": "NodeList", "apiVersion": "v1", "items": list(listed)})


def use_kubeconfig(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Makes a file the current kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))  # the module reads KUBECONFIG only on import


@pytest.fixture
def kubeconfig(tmp_path: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig whose current cluster is the loopback server."""
    path = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cells",
        "contexts": [{"name": "cells", "context": {"cluster": "cells-cluster", "user": "me"}}],
        "clusters": [{"name": "cells-cluster", "cluster": {"server": loopback.url}}],
        "users": [{"name": "me", "user": {"token": "sesame"}}],
    }
    path.write_text(yaml.safe_dump(content))
    use_kubeconfig(monkeypatch, path)
    return path


@pytest.fixture
def cluster(kubeconfig: Path) -> Cluster:
    return open_cluster("")
