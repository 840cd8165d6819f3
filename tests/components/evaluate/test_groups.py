import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import SAMPLES, Examples
from components.convert.examples import convert_images
from components.convert.settings import ConvertSettings
from components.evaluate.groups import number_groups, read_groups
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder


def test_the_groups_are_those_of_the_table_of_samples(make_examples: Callable[..., Examples], tmp_path: Path) -> None:
    sizes = {"train": 2, "validation": 1, "test": 2}
    examples = make_examples(tmp_path, sizes, {"test-000": "pair", "test-001": "pair"})
    groups = read_groups(examples)
    assert groups == {
        "train-000": "train-000",
        "train-001": "train-001",
        "validation-000": "validation-000",
        "test-000": "pair",
        "test-001": "pair",
    }
    assert number_groups(["test-001", "train-000", "test-000"], groups).tolist() == [0, 1, 0]


def test_a_sample_without_a_group_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 samples are in no near-duplicate group, such as b: expected all of them"):
        number_groups(["a", "b"], {"a": "a"})


def test_examples_of_an_older_version_are_refused(make_examples: Callable[..., Examples], tmp_path: Path) -> None:
    examples = make_examples(tmp_path, {"train": 1, "validation": 1, "test": 1})
    path = Path(examples.file_uri(SAMPLES))
    path.unlink()
    path.write_bytes(gzip.compress(b"id,split\na,train\n"))
    with pytest.raises(ValueError, match=r"expected the columns id and group\. Received: \['id', 'split'\].*older version"):
        read_groups(examples)


def test_convert_writes_the_groups_that_are_read_here(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k:02d}": str(k % 2) for k in range(12)})
    for path in (cells / "train").glob("s03_*.png"):  # the same cells under another name
        path.write_bytes(path.with_name(path.name.replace("s03", "s01")).read_bytes())
    raw = ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    examples = convert_images(raw, str(tmp_path / "data"), ConvertSettings(75, "rgb", "grouped", 0.2, 0.2, 0), 0.1, "local", "")
    assert read_groups(examples) == {f"s{k:02d}": f"s{k:02d}" for k in range(12)} | {"s03": "s01"}
