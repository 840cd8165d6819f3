from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.artifacts.manifest import Examples
from components.convert.step import convert
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder

_OUTPUTS = ("examples", "transform_graph", "data_report", "quarantine")


def _artifacts(folder: Path) -> dict[str, SimpleNamespace]:
    folder.mkdir()
    return {name: SimpleNamespace(path=str(folder / name), metadata={}) for name in _OUTPUTS}


def test_a_repeated_step_converts_nothing_and_gives_the_same_artifacts(
    tmp_path: Path, make_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k}": str(k % 2) for k in range(10)})
    raw = ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    raw_images = SimpleNamespace(path=str(tmp_path / "raw_images"), metadata={})
    raw.save(raw_images)
    first, second = _artifacts(tmp_path / "1"), _artifacts(tmp_path / "2")
    parameters = {"image_size_px": 75, "validation_fraction": 0.2, "test_fraction": 0.2}
    convert(raw_images, str(tmp_path / "data"), **first, **parameters)
    assert "already exist" not in capsys.readouterr().out
    for path in Path(raw.images_uri).glob("*.png"):
        path.unlink()
    (published,) = (tmp_path / "data" / "examples").iterdir()
    names = sorted(path.name for path in published.iterdir())
    for left in ("attempt-0123abcd/data_report.html", "unsplit/unsplit-00000-of-00001.tfrecord"):  # by a killed run
        storage.write_bytes(f"{published}/{left}", b"")
    convert(raw_images, str(tmp_path / "data"), **second, **parameters)
    assert "these examples already exist" in capsys.readouterr().out
    assert sorted(path.name for path in published.iterdir()) == names

    contents = [
        {
            path.relative_to(tmp_path / run).as_posix(): path.read_bytes()
            for path in (tmp_path / run).rglob("*")
            if path.is_file()
        }
        for run in "12"
    ]
    assert contents[0] == contents[1]
    assert {name.split("/")[0] for name in contents[0]} == set(_OUTPUTS)
    assert "transform_graph/transform_fn/saved_model.pb" in contents[0]
    examples = Examples.read(first["examples"].path)
    assert sum(examples.num_records(split) for split in examples.shards) == 10
    for artifact in first.values():
        assert artifact.metadata["fingerprint"] == examples.fingerprint
        assert artifact.metadata["num_train"] == 6
        assert artifact.metadata["reused"] is False
    assert all(artifact.metadata["reused"] is True for artifact in second.values())


def test_wrong_parameters_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    raw_images = SimpleNamespace(path=str(tmp_path / "nothing"), metadata={})
    with pytest.raises(ValueError, match=r"image_size_px: expected a number from 75[\s\S]*channels: expected rgb, rgby"):
        convert(raw_images, str(tmp_path), **_artifacts(tmp_path / "1"), image_size_px=10, channels="rg")


def test_existing_examples_are_refused_with_a_lower_max_bad_fraction(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    cells = make_folder(tmp_path / "cells", {f"s{k}": str(k % 2) for k in range(10)} | {"bad1": "99", "bad2": "99"})
    raw = ingest_images(Folder(str(cells), CLASS_NAMES), "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    raw_images = SimpleNamespace(path=str(tmp_path / "raw_images"), metadata={})
    raw.save(raw_images)
    parameters = {"image_size_px": 75, "validation_fraction": 0.2, "test_fraction": 0.2}
    convert(raw_images, str(tmp_path / "data"), **_artifacts(tmp_path / "1"), **parameters, max_bad_fraction=0.5)
    with pytest.raises(
        ValueError, match=r"2 of 12 samples cannot be used, and max_bad_fraction=0\.1 allows 1.*: bad1 and others$"
    ):
        convert(raw_images, str(tmp_path / "data"), **_artifacts(tmp_path / "2"), **parameters, max_bad_fraction=0.1)
