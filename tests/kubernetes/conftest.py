"""A control plane for all tests in this folder."""

from collections.abc import Callable, Iterator

import pytest

from pipeline.preflight.kubernetes_api import Cluster, open_cluster
from tests.kubernetes.control_plane import ControlPlane, control_plane, find_assets
from tests.pipeline.conftest import use_kubeconfig


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
def open_as(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Cluster]:
    """Connects to the cluster as a user."""

    def open_it(user: str) -> Cluster:
        use_kubeconfig(monkeypatch, plane.kubeconfig(user))
        return open_cluster("")

    return open_it
