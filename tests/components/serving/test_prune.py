import os
from pathlib import Path

import pytest

from components import storage
from components.artifacts.manifest import Manifest
from components.serving.champion import Champion, promote
from components.serving.prune import champions, choose, find_outputs, remove

# The lineage: two examples, a training and an evaluation of each, and a second training of the first.
_MADE = {
    "examples/e1": {"raw_images": "r"},
    "training/t1": {"examples": "e1"},
    "evaluation/v1": {"examples": "e1", "model": "t1"},
    "examples/e2": {"raw_images": "r"},
    "training/t2": {"examples": "e2"},
    "evaluation/v2": {"examples": "e2", "model": "t2"},
    "training/t3": {"examples": "e1"},
}


def _make(root: str) -> None:
    for name, inputs in _MADE.items():
        manifest = Manifest(fingerprint=name[-2:], inputs=inputs, parameters={}, source="dir:x", licence="")
        storage.write_bytes(storage.join(root, "data", name, "file"), b"")
        manifest.publish(storage.join(root, "data", name))
    storage.write_bytes(storage.join(root, "data", "examples", "begun", "file"), b"")
    storage.write_bytes(storage.join(root, "data", "raw", "x", "images", "a_red.png"), b"")


def _prune(root: str, keep: int) -> None:
    for output in choose(find_outputs(f"{root}/data"), champions(f"{root}/serving"), keep):
        remove(output)


def _left(root: str) -> set[str]:
    kinds = ("examples", "training", "evaluation")
    return {f"{kind}/{name}" for kind in kinds for name in storage.list_names(f"{root}/data/{kind}")}


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Outputs, published one second apart."""
    _make(str(tmp_path))
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / ".DS_Store").touch()  # files of other programs are not models
    for second, name in enumerate(_MADE):
        os.utime(tmp_path / "data" / name / "manifest.json", (second, second))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("served", "keep", "left"),
    [
        ("", 9, {*_MADE}),
        ("", 1, {"examples/e1", "examples/e2", "training/t3"}),
        ("", 0, set()),
        ("t1", 0, {"examples/e1", "training/t1", "evaluation/v1"}),
        ("t2", 1, {"examples/e1", "examples/e2", "training/t2", "training/t3", "evaluation/v2"}),
    ],
)
def test_the_newest_outputs_and_the_champions_lineage_are_kept(root: str, served: str, keep: int, left: set[str]) -> None:
    if served:
        promote(Champion(1, "", served, "v1", generation=""), f"{root}/serving", "hpa")
    _prune(root, keep)
    assert _left(root) == left | {"examples/begun"}  # an incomplete output may be in progress
    assert storage.exists(f"{root}/data/raw/x/images/a_red.png")


def test_an_object_store_is_pruned_too(bucket_root: str) -> None:
    _make(bucket_root)
    _prune(bucket_root, 0)
    assert _left(bucket_root) == {"examples/begun"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"inputs": {"examples": "e1"}}'])
def test_a_damaged_manifest_is_reported(root: str, content: str) -> None:
    path = Path(root, "data", "evaluation", "v1", "manifest.json")
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{path}: expected a manifest that names its examples and model"):
        find_outputs(f"{root}/data")
