import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import __version__, storage
from components.artifacts.manifest import Evaluation, Examples, Manifest, RawImages, Shard


def _manifest(**changes: str) -> Manifest:
    content = {"fingerprint": "0123456789abcdef", "source": "dir:cells", "licence": "CC BY-SA"} | changes
    return Manifest(inputs={"raw_images": "fedcba9876543210"}, parameters={"seed": 0}, **content)


def _examples(uri: str = "/data/examples/x") -> Examples:
    shards = {
        "train": [Shard(name=f"train-{n}", num_records=10 + n, num_bytes=1, crc32c="00000000") for n in range(2)],
        "validation": [],
    }
    return Examples(
        **_manifest().model_dump() | {"uri": uri},
        image_size_px=75,
        channels=["red", "green", "blue"],
        class_names=["Nucleoplasm"],
        shards=shards,
        num_quarantined=0,
    )


def _raw_images(**changes: int) -> RawImages:
    counts = {"num_samples": 4, "num_bad": 0, "num_incomplete": 0, "num_without_files": 0, "num_bytes": 2_000_000} | changes
    return RawImages(
        **_manifest().model_dump() | {"uri": "/data/raw/x"},
        index_name="abc.csv.gz",
        class_names=["Nucleoplasm"],
        version=0,
        **counts,
    )


def _folder_with(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file.txt").write_text(content)
    return path


def test_there_is_nothing_to_find_before_publishing(tmp_path: Path) -> None:
    assert Manifest.find(str(tmp_path)) is None


def test_a_published_manifest_is_found(tmp_path: Path) -> None:
    published = _manifest().publish(str(tmp_path))
    assert Manifest.find(str(tmp_path)) == published
    assert (published.uri, published.code_version) == (str(tmp_path), __version__)


def test_a_published_output_can_be_moved_with_its_folder(tmp_path: Path) -> None:
    _manifest().publish(str(tmp_path / "here"), _folder_with(tmp_path / "in", "content"))
    (tmp_path / "here").rename(tmp_path / "there")
    found = Manifest.find(str(tmp_path / "there"))
    assert found is not None
    assert storage.read_bytes(found.file_uri("file.txt")) == b"content"


def test_a_second_publisher_gets_the_first_ones_output(tmp_path: Path) -> None:
    uri = str(tmp_path / "out")
    first = _manifest(source="first").publish(uri, _folder_with(tmp_path / "1", "first"))
    second = _manifest(source="second").publish(uri, _folder_with(tmp_path / "2", "second"))
    assert second == first == Manifest.find(uri)
    assert storage.read_bytes(second.file_uri("file.txt")) == b"first"


def test_a_publisher_whose_files_are_removed_gets_the_first_ones_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "out")
    create_tree = storage.create_tree

    def publish_meanwhile(folder: Path, attempt_uri: str) -> None:
        monkeypatch.setattr(storage, "create_tree", create_tree)
        storage.write_bytes(f"{attempt_uri}/begun.txt", b"")
        _manifest(source="first").publish(uri, _folder_with(tmp_path / "1", "first")).remove_rest()
        assert not Path(attempt_uri).exists()
        raise FileNotFoundError(attempt_uri)

    monkeypatch.setattr(storage, "create_tree", publish_meanwhile)
    second = _manifest(source="second").publish(uri, _folder_with(tmp_path / "2", "second"))
    assert (second, second.source) == (Manifest.find(uri), "first")
    assert sorted(storage.list_names(uri)) == [f"attempt-{second.attempt}", "manifest.json"]


def test_files_of_a_killed_attempt_are_not_mixed_with_the_next(tmp_path: Path) -> None:
    killed = _manifest().model_copy(update={"uri": str(tmp_path / "out"), "attempt": "dead"})
    storage.create_tree(_folder_with(tmp_path / "1", "of the killed"), killed.file_uri())
    assert Manifest.find(str(tmp_path / "out")) is None
    published = _manifest().publish(str(tmp_path / "out"), _folder_with(tmp_path / "2", "of the next"))
    assert storage.read_bytes(published.file_uri("file.txt")) == b"of the next"


def test_an_unknown_field_is_refused_with_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(_manifest().model_dump() | {"colour": "green"}))
    with pytest.raises(ValueError, match=rf"{path}: expected a manifest of kind Manifest[\s\S]*colour"):
        Manifest.read(str(path))


def test_a_manifest_of_another_kind_is_refused_with_the_file_name(tmp_path: Path) -> None:
    _manifest().publish(str(tmp_path))
    with pytest.raises(ValueError, match=rf"{tmp_path}/manifest.json: expected a manifest of kind Examples"):
        Examples.find(str(tmp_path))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_file_that_is_not_a_json_object_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(ValueError, match=str(tmp_path / "manifest.json")):
        Manifest.find(str(tmp_path))


def test_an_evaluation_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "blessing"
    content = _manifest().model_dump(exclude={"uri"}) | {
        "model_fingerprint": "m",
        "judged_on": "test",
        "num_samples": 45,
        "num_groups": 44,
        "threshold_method": "one threshold for all classes",
        "thresholds": [0.25],
        "blessed": True,
        "verdict": "yes",
        "reasons": ["macro F1 is high"],
        "metrics": {"f1_macro": 0.3, "f1_macro_low": 0.2, "f1_macro_floor": 0.1},
        "validation_metrics": {"f1_macro": 0.4, "f1_macro_floor": 0.1},
        "floors": {"always_no": {"f1_macro": 0.0}, "class_prior": {"f1_macro": 0.1}, "three_commonest": {"f1_macro": 0.2}},
    }
    path.write_text(json.dumps(content))
    found = Evaluation.read(str(path))
    assert found.metrics == {"f1_macro": 0.3, "f1_macro_low": 0.2, "f1_macro_baseline": 0.1}
    assert found.validation_metrics == {"f1_macro": 0.4, "f1_macro_baseline": 0.1}
    assert found.baselines == {"always_no": {"f1_macro": 0.0}, "class_prior": {"f1_macro": 0.1}}
    assert found.references == {"three_commonest": {"f1_macro": 0.2}}
    path.write_bytes(found.to_json())
    assert Evaluation.read(str(path)) == found


def test_an_artifact_holds_the_manifest_and_shows_readable_metadata(tmp_path: Path) -> None:
    artifact = SimpleNamespace(path=str(tmp_path / "artifact"), metadata={"kept": 1})
    _examples().save(artifact)
    assert Examples.read(artifact.path) == _examples()
    assert artifact.metadata["kept"] == 1
    assert artifact.metadata["fingerprint"] == "0123456789abcdef"
    assert artifact.metadata["inputs"] == {"raw_images": "fedcba9876543210"}
    assert (artifact.metadata["num_train"], artifact.metadata["num_validation"]) == (21, 0)
    assert not {"shards", "class_names"} & artifact.metadata.keys()
    json.dumps(artifact.metadata)


def test_artifacts_show_their_lineage_and_whether_they_were_reused() -> None:
    report = SimpleNamespace(path="/run/data_report", metadata={})
    metrics = SimpleNamespace(path="/run/metrics", metadata={"f1": 0.5}, log_metric=None)
    _examples().describe(report, metrics, reused=True)
    name = f"data_report 01234567 of {_examples().source}"
    assert report.metadata == _examples().metadata() | {"display_name": name, "reused": True}
    lineage = {"fingerprint", "inputs", "parameters", "code_version", "source", "licence"}
    assert metrics.metadata.keys() == lineage | {"f1", "display_name", "reused"}


def test_raw_images_do_not_show_class_names() -> None:
    metadata = _raw_images().metadata()
    assert metadata["num_samples"] == 4
    assert "class_names" not in metadata


def test_raw_images_give_the_uris_of_index_and_images() -> None:
    assert _raw_images().index_uri == "/data/raw/x/index/abc.csv.gz"
    assert _raw_images().images_uri == "/data/raw/x/images"


def test_the_summary_of_a_flawless_source_is_one_short_line() -> None:
    assert _raw_images().summary() == "4 samples, 2.0 MB in /data/raw/x"
    assert _raw_images(num_without_files=1).summary().endswith("; 1 row without any image left out")


def test_the_summary_lists_problems() -> None:
    summary = _raw_images(num_bad=1, num_incomplete=2, num_without_files=3, num_unlabelled=4).summary()
    assert "4 samples without labels (see include_test)" in summary
    assert "3 rows without any image left out" in summary
    assert "2 samples without some of the filters" in summary
    assert "1 cannot be used (reasons in /data/raw/x/index/abc.csv.gz)" in summary


def test_examples_give_the_uris_of_their_shards() -> None:
    assert _examples().shard_uris("train") == ["/data/examples/x/train-0", "/data/examples/x/train-1"]
    assert _examples().shard_uris("validation") == []


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        _manifest().source = "other"
