from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.artifacts.index import read_index
from components.artifacts.manifest import RawImages
from components.ingest.step import ingest


def test_the_artifact_refers_to_the_ingested_version(
    tmp_path: Path, make_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    artifact = SimpleNamespace(path=str(tmp_path / "artifact"), metadata={})
    ingest(f"dir:{folder}", str(tmp_path / "data"), artifact)
    raw = RawImages.read(artifact.path)
    assert [sample.sample_id for sample in read_index(raw.index_uri)] == ["a", "b"]
    assert artifact.metadata["fingerprint"] == raw.fingerprint
    assert artifact.metadata["num_samples"] == 2
    assert artifact.metadata["reused"] is False
    ingest(f"dir:{folder}", str(tmp_path / "data"), artifact)
    assert artifact.metadata["reused"] is True
    assert "2 samples" in capsys.readouterr().out


def test_wrong_parameters_are_refused_before_anything_is_stored(tmp_path: Path) -> None:
    artifact = SimpleNamespace(path=str(tmp_path / "artifact"), metadata={})
    with pytest.raises(ValueError, match=r"source: expected kaggle:[\s\S]*parallel_transfers: expected"):
        ingest("cells", str(tmp_path / "data"), artifact, parallel_transfers=0)
    assert list(tmp_path.iterdir()) == []
