"""A control plane for all tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from pipeline.preflight.kubernetes_api import Cluster, open_cluster
from tests.kubernetes.control_plane import ControlPlane, control_plane, find_assets


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with the namespace of Kubeflow Pipelines."""
    assets = find_assets()
    if not assets:
        pytest.skip("needs KUBEBUILDER_ASSETS=<folder with etcd, kube-apiserver and kubectl>")
    with control_plane(assets, tmp_path_factory.mktemp("control_plane")) as running:
        running.run("create", "namespace", "kubeflow")
        yield running


@pytest.fixture
def sign_in(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a user's kubeconfig the current one."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def become(user: str) -> Path:
        path = plane.kubeconfig(user)
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))  # read when it is imported
        return path

    return become


@pytest.fixture
def open_as(sign_in: Callable[[str], Path]) -> Callable[[str], Cluster]:
    """Opens the cluster as a user."""

    def open_it(user: str) -> Cluster:
        sign_in(user)
        return open_cluster("")

    return open_it
