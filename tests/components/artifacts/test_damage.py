"""Whatever happens to a stored file, reading it gives what was written, or one error that names it and says what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from components.artifacts.damage import DamagedFileError, naming, parse_json, to_json, with_checksum, without_checksum
from components.artifacts.examples import open_splits, read_column
from components.artifacts.index import ImageFile, Sample, dump_index, read_index
from components.artifacts.manifest import SAMPLES, Examples
from tests.components.conftest import blessing
from tests.components.damaged_files import check_damaged

_SPLITS = {
    split: [[(f"{split}{k}", np.full((8, 8, 3), k, np.uint8), [k % 2]) for k in range(4)]] for split in ("train", "test")
}


class _Cells(BaseModel, extra="forbid"):
    names: list[str]
    number: int


_CELLS = _Cells(names=["a", "b"], number=3)


class TestJson:
    def test_round_trips_and_ends_with_a_checksum(self) -> None:
        data = to_json(_CELLS)
        assert parse_json(_Cells, data, "cells.json", "cells") == _CELLS
        assert list(json.loads(data)) == ["names", "number", "crc32"]

    def test_of_earlier_versions_has_no_checksum(self) -> None:
        assert parse_json(_Cells, _CELLS.model_dump_json().encode(), "cells.json", "cells") == _CELLS

    def test_with_white_space_and_nested_objects_round_trips(self) -> None:
        for content in ({"a": {"b": {}}}, {"a": " }\n"}, {"crc32": "00000000"}):
            assert json.loads(without_checksum(with_checksum(json.dumps(content)))) == content

    def test_with_changed_content_is_refused_in_one_line(self) -> None:
        with pytest.raises(
            DamagedFileError, match=r"^cells\.json: expected cells\. Received: content that .*\. If it is damaged, delete it"
        ):
            parse_json(_Cells, to_json(_CELLS).replace(b"3", b"4", 1), "cells.json", "cells")
        with pytest.raises(
            DamagedFileError, match=r"^cells\.json: expected cells\. Received: number: Field required\. If it is damaged"
        ):
            parse_json(_Cells, b'{"names": []}', "cells.json", "cells")


def test_transient_errors_are_not_reported_as_damage() -> None:
    for error in (FileNotFoundError("gone"), PermissionError("denied"), MemoryError()):
        with pytest.raises(type(error)), naming("cells.json", "cells"):
            raise error


def _manifest(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "manifest.json"
    path.write_bytes(blessing().to_json())
    return path, lambda: type(blessing()).find(str(folder))


def _index(folder: Path) -> tuple[Path, Callable[[], object]]:
    files = {"red": ImageFile("a_red.png", 12, "0a0b0c0d")}
    path = folder / "index.csv.gz"
    path.write_bytes(dump_index([Sample(f"s{k}", (k,), 0, "", files, "plate 1", {"well": "B2"}) for k in range(9)]))
    return path, lambda: read_index(str(path))


@pytest.fixture
def examples(tmp_path: Path, publish_examples: Callable[..., Examples]) -> Examples:
    return publish_examples(tmp_path / "examples", _SPLITS, ["x", "y"])


def _read_examples(examples: Examples) -> list[object]:
    with open_splits(examples, list(_SPLITS)) as readers:
        return [(reader.ids, reader.labels.tolist(), next(reader.batches(9)).tolist()) for reader in readers.values()]


@pytest.mark.parametrize("make", [_manifest, _index])
def test_a_damaged_file_is_named(tmp_path: Path, make: Callable[[Path], tuple[Path, Callable[[], object]]]) -> None:
    check_damaged(*make(tmp_path), num_cases=60)


def test_a_damaged_table_of_samples_is_named(examples: Examples) -> None:
    check_damaged(Path(examples.file_uri(SAMPLES)), lambda: read_column(examples, "labels"), num_cases=60)


def test_a_damaged_shard_is_named(examples: Examples) -> None:
    check_damaged(Path(examples.shard_uris("train")[0]), lambda: _read_examples(examples), num_cases=60)


def test_files_published_with_a_manifest_are_verified(tmp_path: Path) -> None:
    (tmp_path / "folder" / "model").mkdir(parents=True)
    (tmp_path / "folder" / "model" / "weights").write_bytes(bytes(range(100)))
    (tmp_path / "folder" / "page.html").write_text("cells")
    done = blessing().publish(str(tmp_path / "out"), tmp_path / "folder")
    found = type(done).find(str(tmp_path / "out"))
    assert found == done
    copy = tmp_path / "copy"

    def fetch_page() -> bytes:
        done.fetch_file("page.html", copy)
        return copy.read_bytes()

    def fetch_model() -> bytes:
        done.fetch_folder("model", tmp_path / "model")
        return (tmp_path / "model" / "weights").read_bytes()

    check_damaged(Path(done.file_uri("page.html")), lambda: done.read_file("page.html"), num_cases=20)
    check_damaged(Path(done.file_uri("page.html")), fetch_page, num_cases=20)
    check_damaged(Path(done.file_uri("model", "weights")), fetch_model, num_cases=20)


@pytest.mark.long
@pytest.mark.parametrize("make", [_manifest, _index])
def test_a_file_is_named_whatever_its_damage(tmp_path: Path, make: Callable[[Path], tuple[Path, Callable[[], object]]]) -> None:
    """A manifest or index, however damaged, reads as it was written, or ends in one error that names it."""
    check_damaged(*make(tmp_path), num_cases=5000)


@pytest.mark.long
def test_examples_are_named_whatever_their_damage(examples: Examples) -> None:
    """Shards and tables of samples, however damaged, read as they were written, or end in one error that names them."""
    for path in (Path(examples.file_uri(SAMPLES)), Path(examples.shard_uris("train")[0])):
        check_damaged(path, lambda: _read_examples(examples), num_cases=2000)
