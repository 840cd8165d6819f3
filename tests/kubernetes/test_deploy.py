"""A real API server takes the manifests of deploy/."""

from pathlib import Path

import pytest
import yaml

from tests.kubernetes.control_plane import ControlPlane
from tests.test_deploy import FILES, read_manifests

pytestmark = pytest.mark.kubernetes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_accepted(plane: ControlPlane, path: Path) -> None:
    manifests = yaml.safe_dump_all(read_manifests(path))
    plane.run("apply", "--validate=strict", "--filename=-", stdin=manifests)
    plane.run("diff", "--filename=-", stdin=manifests)  # which fails where the server holds anything else


def test_misspelt_field_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(AssertionError, match="dat: field not declared in schema"):
        plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "dat": {}})
