"""Concurrent identical conversions."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import Examples, RawImages
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from tests.components.run_step import check_twins, start_step
from tests.conftest import OBJECT_STORES

_ROUNDS = 4
_OUTPUTS = ("examples", "transform_graph", "data_report", "quarantine")


class _Conversions:
    """Conversions of the same images, each in a process of its own.

    Attributes:
        folder: A local folder for their inputs and outputs.
        raw: The images.
        split: How to split them.
    """

    def __init__(self, folder: Path, raw: RawImages, split: str) -> None:
        self.folder, self.raw, self._split = folder, raw, split
        self._num_started = 0
        (folder / "raw_images").write_bytes(raw.to_json())

    def start(self, data_root: str) -> subprocess.Popen[str]:
        self._num_started += 1
        return start_step(
            "convert",
            self.folder / f"outputs{self._num_started}",
            "tests.components.convert.convert_in_small_shards",
            raw_images=str(self.folder / "raw_images"),
            data_root=data_root,
            image_size_px=75,
            split=self._split,
            validation_fraction=0.2,
            test_fraction=0.2,
        )


@pytest.fixture(params=["grouped", "random"])
def conversions(
    request: pytest.FixtureRequest, tmp_path: Path, make_folder: Callable[..., Path], temporary: Path
) -> _Conversions:
    cells = make_folder(tmp_path / "cells", {f"s{number:03d}": str(number % 3) for number in range(200)}, side_px=80)
    raw = ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    return _Conversions(tmp_path, raw, request.param)


def _published(data_root: str) -> dict[str, object]:
    """Every file below the only examples, by a path that is the same for all runs, and the fields of their manifest."""
    (name,) = storage.list_names(f"{data_root}/examples")
    uri = f"{data_root}/examples/{name}"
    examples = Examples.find(uri)
    assert examples
    assert examples.missing_shards() == []
    assert storage.find_unfinished(uri) == []
    for file in examples.files:
        examples.read_file(file)
    names = storage.list_tree(uri)
    # TensorFlow gives each transform graph a random id.
    kept = [name for name in names if not name.endswith(("/fingerprint.pb", "manifest.json"))]
    files = {name.replace(examples.attempt, "0"): storage.read_bytes(f"{uri}/{name}") for name in kept}
    return files | examples.model_dump(exclude={"uri", "attempt", "files"})


@pytest.mark.long
@pytest.mark.parametrize("root", ["local_root", *OBJECT_STORES])
def test_identical_conversions_at_once_give_the_examples_of_one(
    conversions: _Conversions, root: str, request: pytest.FixtureRequest
) -> None:
    """Identical conversions at the same time succeed, give what one gives, and leave nothing else, also if one is killed."""
    check_twins(conversions.start, _published, request.getfixturevalue(root), _ROUNDS, "these examples already exist")
