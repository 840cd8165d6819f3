"""A model pushed by an earlier version can still be served, rolled back and compared with (see make_fixture.py)."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from kfp import dsl

from components.artifacts.manifest import Evaluation
from components.serving.champion import find_champion
from components.serving.inspection import list_models, verify_models
from components.serving.lineage import walk
from components.serving.predict.prediction import predict
from components.serving.promotion import rollback
from tests.upgrades.make_fixture import Artifacts, evaluate_model, make_examples

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "serving").is_dir())

pytestmark = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)


@pytest.fixture
def serving_root(release: Path, tmp_path: Path) -> Path:
    """A copy of the served models, which a test may change."""
    return Path(shutil.copytree(release / "serving", tmp_path / "serving"))


def _read(path: Path) -> tuple[list[list[str]], np.ndarray]:
    """Ids with decisions, and probabilities: samples x classes."""
    header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert header[:2] == ["Id", "Decisions"]
    return [row[:2] for row in rows], np.array([row[2:] for row in rows], float)


def test_predictions_equal_those_of_the_version_that_pushed_it(release: Path, serving_root: Path, tmp_path: Path) -> None:
    predict(str(serving_root / "hpa"), str(release / "images"), str(tmp_path / "predictions.csv"))
    decisions, probabilities = _read(tmp_path / "predictions.csv")
    expected_decisions, expected = _read(release / "predictions_2.csv")
    assert decisions == expected_decisions
    assert np.allclose(probabilities, expected, atol=1e-4)


def test_tensorflow_serves_it_from_png_files(release: Path, serving_root: Path) -> None:
    served = tf.saved_model.load(str(serving_root / "hpa" / "2")).signatures["serving_default"]
    files = {
        name: tf.constant([path.read_bytes() for path in sorted((release / "images").glob(f"*_{name}.png"))])
        for name in ("red", "green", "blue")
    }
    assert np.allclose(served(**files)["probabilities"], _read(release / "predictions_2.csv")[1], atol=0.02)


def test_its_versions_are_listed_and_intact(release: Path, serving_root: Path) -> None:
    assert [line.text.split()[0] for line in list_models(str(serving_root), "hpa")] == ["2", "1"]
    assert all(finding.is_well for finding in verify_models(str(serving_root), "hpa"))


def test_a_rollback_restores_the_older_version(release: Path, serving_root: Path, tmp_path: Path) -> None:
    assert rollback(1, str(serving_root), "hpa").number == 3
    champion = find_champion(str(serving_root), "hpa")
    assert champion
    assert (champion.version, champion.former) == (3, (1, 2))
    predict(champion.uri, str(release / "images"), str(tmp_path / "predictions.csv"))
    assert np.allclose(_read(tmp_path / "predictions.csv")[1], _read(release / "predictions_1.csv")[1], atol=1e-4)


def test_lineage_leads_to_its_images(release: Path, serving_root: Path) -> None:
    links = walk(str(serving_root / "hpa"), str(release / "data"))
    problems = [link.problem for link in links]
    assert "3 shards are missing" in problems.pop(3)  # the fixture has no shards
    assert problems == [""] * 5
    assert links[-1].title == "source synthetic:160"


def test_a_new_model_is_compared_with_it(release: Path, serving_root: Path, tmp_path: Path) -> None:
    """Version 1 serves as the challenger, so that no training is needed."""
    artifacts = Artifacts(tmp_path / "artifacts")
    data_root = str(tmp_path / "data")
    made = make_examples("synthetic:40", data_root, artifacts)
    challenger = dsl.Model(name="model", uri=str(release / "serving" / "hpa" / "1"), metadata={})
    judged = evaluate_model(made["examples"], challenger, data_root, str(serving_root), artifacts)
    evaluation = Evaluation.read(judged["blessing"].path)
    assert evaluation.champion_version == 2
    assert any("compared with the champion (version 2)" in reason for reason in evaluation.reasons)
