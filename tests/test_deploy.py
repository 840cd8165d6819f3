"""The manifests in deploy/ are what Kubernetes's schemas ask for, and hold no secret."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.compiled import ROOT

FILES = sorted((ROOT / "deploy").glob("*.yaml"))


def _manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_there_are_manifests() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_they_fit_the_schemas(path: Path) -> None:
    for manifest in _manifests(path):
        kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_the_schemas_would_refuse_a_misspelt_field() -> None:
    (manifest,) = _manifests(ROOT / "deploy" / "service-account.yaml")
    manifest["metdata"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.32", strict=True)


def test_secrets_are_without_values() -> None:
    secrets = [manifest for path in FILES for manifest in _manifests(path) if manifest["kind"] == "Secret"]
    assert secrets
    assert not [
        value for secret in secrets for value in {**secret.get("data", {}), **secret.get("stringData", {})}.values() if value
    ]
