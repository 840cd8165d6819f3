"""Lineage from a pushed model to its images, with real manifests and damage to each of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import storage
from components.artifacts.manifest import MODEL_MANIFEST, Evaluation, Examples, Manifest, RawImages, Shard, TrainedModel
from components.serving.lineage import Link, walk
from components.serving.promotion import push_model
from tests.components.conftest import blessing
from tests.components.damaged_files import changed_json

COMMON: dict[str, Any] = {"parameters": {"seed": 7}, "source": "dir:cells", "licence": "CC BY-SA, Human Protein Atlas"}
TITLES = ["pushed model: version 1 of hpa", "evaluation e1", "training t1", "examples x1", "raw images r1", "source dir:cells"]


def _publish_all(data_root: str) -> TrainedModel:
    """A chain of outputs, as published by the steps."""
    raw = RawImages(
        **COMMON,
        fingerprint="r1",
        inputs={},
        index_name="r1.csv.gz",
        class_names=["a", "b"],
        version=0,
        num_samples=1234,
        num_bad=1,
        num_incomplete=0,
        num_without_files=0,
        num_bytes=3_000_000,
    )
    storage.write_bytes(storage.join(data_root, "raw", "dir-cells", "index", "r1.csv.gz"), b"")
    raw.publish(storage.join(data_root, "raw", "dir-cells"), name="index/r1.json")
    examples = Examples(
        **COMMON,
        fingerprint="x1",
        inputs={"raw_images": "r1"},
        image_size_px=75,
        channels=["red", "green", "blue"],
        class_names=["a", "b"],
        shards={"train": [Shard(name="train-0", num_records=9, num_bytes=4, crc32c="00000000")], "validation": [], "test": []},
        num_quarantined=1,
    )
    storage.write_bytes(storage.join(data_root, "examples", "x1", "train-0"), b"four")
    examples.publish(storage.join(data_root, "examples", "x1"))
    trained = TrainedModel(
        **COMMON,
        fingerprint="t1",
        inputs={"examples": "x1", "champion": "t0"},
        class_names=["a", "b"],
        channels=["red", "green", "blue"],
        image_size_px=75,
        started_from="version 3 of the served model",
        epochs_trained=4,
        best_epoch=2,
        metrics={},
    )
    trained.publish(storage.join(data_root, "training", "t1"))
    judged = Evaluation(
        **COMMON,
        fingerprint="e1",
        inputs={"model": "t1", "examples": "x1"},
        model_fingerprint="t1",
        judged_on="test",
        num_samples=45,
        num_groups=40,
        threshold_method="",
        thresholds=[0.5, 0.5],
        blessed=True,
        verdict="yes",
        reasons=["better than the baseline"],
        metrics={"f1_macro": 0.2, "f1_macro_common": 0.4, "f1_macro_common_low": 0.3, "f1_macro_common_high": 0.5},
        validation_metrics={},
        baselines={},
        references={},
    )
    judged.publish(storage.join(data_root, "evaluation", "e1"))
    return trained


def _push(trained: TrainedModel, folder: Path, serving_root: str) -> str:
    files = {"saved_model.pb": b"a model", "assets/thresholds.csv": b"", MODEL_MANIFEST: trained.to_json()}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return push_model(folder, blessing("e1"), serving_root, "hpa").uri


@pytest.fixture
def pushed(tmp_path: Path) -> Path:
    """The folder with intact `data` and `serving`."""
    _push(_publish_all(str(tmp_path / "data")), tmp_path / "model", str(tmp_path / "serving"))
    return tmp_path


def _walk(folder: Path, target: str = "serving/hpa/1") -> list[Link]:
    return walk(str(folder / target), str(folder / "data"))


@pytest.mark.parametrize("target", ["serving/hpa/1", "serving/hpa", "serving/hpa/"])
def test_lineage_leads_from_a_version_or_the_champion_to_the_source(pushed: Path, target: str) -> None:
    links = walk(f"{pushed}/{target}", str(pushed / "data"))
    assert [link.title for link in links] == TITLES
    assert not any(link.problem for link in links)
    version, evaluation, training, examples, raw, source = (link.facts for link in links)
    assert version["champion"] == "yes"
    assert version["files"].startswith("4, ")
    assert evaluation["verdict"] == "blessed"
    assert evaluation["macro F1"] == "0.400 (0.300 to 0.500) over common classes on 45 test samples"
    assert training["started from"] == "version 3 of the served model (training t0)"
    assert examples["samples"] == "9 train, 0 validation, 0 test; 1 left out"
    assert raw["samples"] == "1,234, 1 of them bad"
    assert raw["listed in"] == f"{pushed}/data/raw/dir-cells/index/r1.csv.gz"
    assert source == {"licence": "CC BY-SA, Human Protein Atlas"}
    for facts in (evaluation, training, examples, raw):
        assert facts["parameters"] == "seed=7"
        assert facts["made"].endswith(" UTC")
        assert facts["licence"]


def test_lineage_is_read_from_an_object_store(bucket_root: str, tmp_path: Path) -> None:
    data_root, serving_root = storage.join(bucket_root, "data"), storage.join(bucket_root, "serving")
    uri = _push(_publish_all(data_root), tmp_path / "model", serving_root)
    links = walk(uri, data_root)
    assert [link.title for link in links] == TITLES
    assert not any(link.problem for link in links)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _damage(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(b"\xff{")

    return damage


def _rename(name: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        path = folder / name
        path.write_bytes(changed_json(path.read_bytes(), fingerprint="other"))

    return rename


@pytest.mark.parametrize(
    ("break_it", "number", "problem", "num_links"),
    [
        (_remove("data/evaluation/e1/manifest.json"), 1, "there is no ", 6),
        (_damage("data/evaluation/e1/manifest.json"), 1, "expected a manifest of kind Evaluation", 6),
        (_rename("data/evaluation/e1/manifest.json"), 1, "has another fingerprint, other", 6),
        # The model's own manifest has the same content.
        (_remove("data/training/t1/manifest.json"), 2, "from the served model", 6),
        (_damage("data/training/t1/manifest.json"), 2, "from the served model", 6),
        (_rename("serving/hpa/1/assets.extra/model.json"), 2, "names another training, other", 6),
        (_remove("data/examples/x1/train-0"), 3, "1 shards are missing or truncated, for example train-0", 6),
        (_remove("data/examples/x1/manifest.json"), 3, "there is no ", 4),
        (_damage("data/raw/dir-cells/index/r1.json"), 4, "expected a manifest of kind RawImages", 5),
        (_remove("data/raw/dir-cells/index/r1.json"), 4, "there is no ", 5),
        (_remove("data/raw/dir-cells/index/r1.csv.gz"), 4, "the images are not known", 6),
    ],
)
def test_a_broken_link_is_named_and_the_walk_continues_as_far_as_possible(
    pushed: Path, break_it: Callable[[Path], None], number: int, problem: str, num_links: int
) -> None:
    break_it(pushed)
    links = _walk(pushed)
    assert [link.title for link in links] == TITLES[:num_links]
    assert problem in links[number].problem
    assert [bool(link.problem) for link in links].count(True) == 1


@pytest.mark.parametrize(("break_it", "problem"), [(_remove, "is missing"), (_damage, "is damaged")])
def test_a_version_without_its_record_still_names_its_training(
    pushed: Path, break_it: Callable[[str], Callable[[Path], None]], problem: str
) -> None:
    break_it("serving/hpa/1/assets.extra/pushed.json")(pushed)
    links = _walk(pushed)
    assert links[0].problem == f"assets.extra/pushed.json, which push writes, {problem}"
    assert [link.title for link in links] == [TITLES[0], *TITLES[2:]]


def test_an_unfinished_version_is_reported(pushed: Path) -> None:
    (pushed / "serving" / "hpa" / "1" / "saved_model.pb").unlink()
    links = _walk(pushed)
    assert links[0].problem == "it is unfinished: saved_model.pb is missing"
    assert [link.title for link in links] == TITLES


def test_a_damaged_pointer_makes_the_champion_unknown(pushed: Path) -> None:
    (pushed / "serving" / "hpa" / "champion.json").write_text("{")
    links = _walk(pushed)
    assert links[0].facts["champion"].startswith("unknown: ")
    assert [link.title for link in links] == TITLES


def test_the_walk_ends_at_a_version_without_record_and_manifest(pushed: Path) -> None:
    shutil.rmtree(pushed / "serving" / "hpa" / "1" / "assets.extra")
    links = _walk(pushed)
    assert [bool(link.problem) for link in links] == [True, True]


def test_a_wrong_data_root_is_reported_with_the_option(pushed: Path) -> None:
    links = walk(str(pushed / "serving" / "hpa"), str(pushed / "elsewhere"))
    assert "--data-root" in links[1].problem
    assert [link.title for link in links] == TITLES[:4]


def test_a_target_that_is_neither_model_nor_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected the folder of a local run, of a pushed version"):
        walk(str(tmp_path), str(tmp_path))


def _save(manifest: Manifest | None, path: Path) -> None:
    assert manifest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest.to_json())
    (path.parent / "executor_output.json").write_text("{}")


def test_a_run_that_ended_early_leads_to_its_last_output(pushed: Path) -> None:
    examples = Examples.find(str(pushed / "data" / "examples" / "x1"))
    _save(examples, pushed / "runs" / "1" / "hpa-pipeline" / "convert" / "examples")
    links = _walk(pushed, "runs/1")
    assert [link.title for link in links] == ["run", *TITLES[3:]]
    assert links[0].facts["ended early"] == "no model was evaluated"


def test_a_run_with_a_refused_model_leads_to_its_evaluation(pushed: Path) -> None:
    run = pushed / "runs" / "1" / "hpa-pipeline"
    _save(Evaluation.find(str(pushed / "data" / "evaluation" / "e1")), run / "evaluate" / "blessing")
    (run / "push").mkdir()
    (run / "push" / "pushed_model").write_text(json.dumps({"pushed": False, "reasons": ["too few samples"]}))
    links = _walk(pushed, "runs/1")
    assert [link.title for link in links] == ["run", *TITLES[1:]]
    assert links[0].facts["not pushed"] == "better than the baseline"


def test_a_run_with_a_damaged_artifact_names_it(pushed: Path) -> None:
    run = pushed / "runs" / "1" / "hpa-pipeline"
    _save(Examples.find(str(pushed / "data" / "examples" / "x1")), run / "convert" / "examples")
    (run / "convert" / "examples").write_bytes(b"{")
    (link,) = _walk(pushed, "runs/1")
    assert "convert/examples: expected a manifest of kind Examples" in link.problem
