from pathlib import Path

import pytest

from components.artifacts.manifest import Manifest
from components.storage import list_names
from tests.pipeline.commands.conftest import invoke


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The outputs of two runs on one source."""
    for name in ("e1", "e2"):
        manifest = Manifest(fingerprint=name, inputs={"raw_images": "r"}, parameters={}, source="dir:x", licence="")
        manifest.publish(str(tmp_path / "data" / "examples" / name))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "verb", "would", "num_left"), [([], "removing", "", 1), (["--dry-run"], "would remove", "would be ", 2)]
)
def test_removed_outputs_are_listed_and_a_dry_run_removes_nothing(
    root: Path, options: list[str], verb: str, would: str, num_left: int
) -> None:
    done = invoke("prune", "--keep", "1", "--pipeline-root", root, *options)
    assert done.exit_code == 0, done.stderr
    gone, counted = done.stdout.splitlines()
    assert gone.startswith(f"{verb} {root}/data/examples/e")
    assert counted == f"1 of 2 outputs {would}removed"
    assert len(list_names(f"{root}/data/examples")) == num_left


def test_an_unknown_kind_of_address_is_refused(root: Path) -> None:
    refused = invoke("prune", "--keep", "1", "--pipeline-root", root, "--data-root", "s4://bucket")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("data_root: expected a folder, gs://")
