"""A real API server takes the manifests of deploy/."""

from pathlib import Path

import pytest

from tests.kubernetes.control_plane import ControlPlane
from tests.test_deploy import FILES

pytestmark = pytest.mark.kubernetes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_applied_twice_without_a_change(plane: ControlPlane, path: Path) -> None:
    apply = ["apply", "--validate=strict", "--filename", str(path)]
    first, second = plane.run(*apply).splitlines(), plane.run(*apply).splitlines()
    assert all(line.endswith((" created", " configured", " unchanged")) for line in first)
    assert all(line.endswith(" unchanged") for line in second)


def test_misspelt_field_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(AssertionError, match="unknown field"):
        plane.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "dat": {}})
