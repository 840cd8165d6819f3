"""A real API server takes the manifests of deploy/."""

from pathlib import Path

import pytest

from tests.kubernetes.control_plane import ControlPlane
from tests.test_deploy import FILES

pytestmark = pytest.mark.kubernetes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_accepted(plane: ControlPlane, path: Path) -> None:
    plane.run("apply", "--validate=strict", "--filename", str(path))
    plane.run("diff", "--filename", str(path))  # which fails where the server holds anything else


def test_misspelt_field_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(AssertionError, match="dat: field not declared in schema"):
        plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "dat": {}})
