"""Outputs that are pruned while a run reads them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.artifacts.examples import open_splits
from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import Examples
from components.convert.step import convert
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from components.serving.prune import choose, find_outputs, remove
from tests.object_stores import Faults

_OUTPUTS = ("examples", "transform_graph", "data_report", "quarantine")

# The contents that a reader has read, by name.
_Content = dict[str, bytes]


@pytest.fixture
def convert_again(remote_root: str, tmp_path: Path, make_folder: Callable[..., Path]) -> Callable[[], Path]:
    """Converts some images to an object store, or finds the examples there. Returns the folder of the artifacts."""
    cells = make_folder(tmp_path / "cells", {f"s{k}": str(k % 2) for k in range(10)}, side_px=80)
    raw = ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    raw_images = SimpleNamespace(path=str(tmp_path / "raw_images"), metadata={})
    raw.save(raw_images)
    runs = iter(range(1000))

    def run() -> Path:
        folder = tmp_path / f"run{next(runs)}"
        folder.mkdir()
        outputs = {name: SimpleNamespace(path=str(folder / name), metadata={}) for name in _OUTPUTS}
        options = {"image_size_px": 75, "validation_fraction": 0.2, "test_fraction": 0.2}
        convert(raw_images, f"{remote_root}/data", **outputs, **options)
        return folder

    return run


def _read_artifacts(folder: Path) -> _Content:
    return {name: (folder / name).read_bytes() for name in ("data_report", "quarantine")}


def _read_pixels(examples: Examples) -> _Content:
    with open_splits(examples, ["train", "validation", "test"]) as readers:
        return {
            reader.ids[number]: reader.pixels(number).tobytes() for reader in readers.values() for number in range(len(reader))
        }


@pytest.mark.long
@pytest.mark.object_store
@pytest.mark.parametrize("reader", ["artifacts", "pixels"])
def test_what_is_pruned_while_it_is_read_is_read_whole_or_named_and_made_again(
    reader: str, remote_root: str, faults: Faults, convert_again: Callable[[], Path]
) -> None:
    """If `prune` removes what a run reads, the run succeeds or ends in one error with advice, and the next run succeeds."""
    data_root, said = f"{remote_root}/data", []

    def read(examples: Examples) -> _Content:
        return _read_pixels(examples) if reader == "pixels" else _read_artifacts(convert_again())

    def prune(_: object) -> bool:
        for output in choose(find_outputs(data_root), served=set(), keep=0):
            remove(output)
        return False

    expected: _Content = {}
    for _, disturbed in faults.each_request(prune):
        examples = Examples.read(str(convert_again() / "examples"))
        expected = expected or read(examples)
        with disturbed:
            try:
                assert read(examples) == expected
            except OSError as error:
                said.append(str(error))
        assert read(Examples.read(str(convert_again() / "examples"))) == expected
    assert said
    assert [message for message in said if examples.uri not in message or "run again" not in message.lower()] == []
