"""The step, called as by KFP."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from components import storage
from components.artifacts.manifest import Evaluation, Examples
from components.evaluate.step import evaluate
from components.serving.champion import Champion, find_champion
from tests.components.damaged_files import changed_json
from tests.small_disk import small_disk

_OUTPUTS = ("metrics", "class_metrics", "thresholds", "blessing", "evaluation_report")


class _Metrics(SimpleNamespace):
    """Records what is logged to Metrics and ClassificationMetrics."""

    def log_metric(self, name: str, value: float) -> None:
        self.metadata[name] = value

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        self.metadata["confusion"] = (categories, matrix)

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        self.metadata["roc"] = (fpr, tpr, threshold)


@pytest.fixture(scope="module")
def inputs(
    make_examples: Callable[..., Examples], make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, SimpleNamespace]:
    folder = tmp_path_factory.mktemp("inputs")
    examples = SimpleNamespace(path=str(folder / "examples.json"), metadata={})
    make_examples(folder).save(examples)
    return {"examples": examples, "model": SimpleNamespace(path=str(make_model(folder / "model")), metadata={})}


def _run(inputs: dict[str, SimpleNamespace], root: Path, run: str, **changed: float) -> dict[str, _Metrics]:
    folder = root / run
    folder.mkdir(parents=True)
    outputs = {name: _Metrics(path=str(folder / name), metadata={}) for name in _OUTPUTS}
    evaluate(**inputs, data_root=str(root / "data"), serving_root=str(root / "serving"), **outputs, **changed)
    return outputs


def test_every_output_is_written_and_a_repeated_step_reuses_the_evaluation(
    inputs: dict[str, SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _run(inputs, tmp_path, "1")
    assert "blessed: " in capsys.readouterr().out
    second = _run(inputs, tmp_path, "2")
    assert "this model is already evaluated" in capsys.readouterr().out
    for name in _OUTPUTS:
        assert Path(first[name].path).read_bytes() == Path(second[name].path).read_bytes()
        assert first[name].metadata | {"reused": True} == second[name].metadata
        assert first[name].metadata["fingerprint"]
        assert first[name].metadata["reused"] is False
    found = Evaluation.read(first["blessing"].path)
    assert found.blessed
    logged = first["metrics"].metadata
    assert (
        {name: logged[name] for name in found.metrics} == found.metrics == json.loads(Path(first["metrics"].path).read_text())
    )
    assert logged["f1 Rods & rings"] > 0.5
    assert first["class_metrics"].metadata["confusion"][0] == ["absent", "present"]
    assert len(json.loads(Path(first["thresholds"].path).read_text())["thresholds"]) == 6


def test_figures_and_report_are_logged_to_mlflow(
    inputs: dict[str, SimpleNamespace], tmp_path: Path, mlflow_run_id: str
) -> None:
    outputs = _run(inputs, tmp_path, "1")
    figures = outputs["metrics"].metadata
    logged = MlflowClient().get_run(mlflow_run_id).data.metrics
    assert logged["f1_macro"] == figures["f1_macro"]
    assert logged["f1 Rods _ rings"] == figures["f1 Rods & rings"]
    report = MlflowClient().download_artifacts(mlflow_run_id, "evaluation_report.html", str(tmp_path))
    assert Path(report).read_bytes() == Path(outputs["evaluation_report"].path).read_bytes()


def test_the_champion_is_found_with_its_current_pointer(
    inputs: dict[str, SimpleNamespace], make_champion: Callable[..., Champion], tmp_path: Path
) -> None:
    make_champion(tmp_path / "serving", known=[0, 1])
    pointer = tmp_path / "serving" / "hpa" / "champion.json"
    first = Evaluation.read(_run(inputs, tmp_path, "1")["blessing"].path)
    before = find_champion(str(tmp_path / "serving"), "hpa")
    assert before
    assert (first.champion_version, first.champion_generation) == (3, before.generation)
    # The same champion with a new version, as after a rollback: the comparison was with the same model.
    (tmp_path / "serving" / "hpa" / "3").rename(tmp_path / "serving" / "hpa" / "4")
    pointer.write_bytes(changed_json(pointer.read_bytes(), version=4))
    second = Evaluation.read(_run(inputs, tmp_path, "2")["blessing"].path)
    after = find_champion(str(tmp_path / "serving"), "hpa")
    assert after
    assert (second.champion_version, second.champion_generation) == (4, after.generation)
    assert (second.fingerprint, second.attempt) == (first.fingerprint, first.attempt)
    assert before.generation != after.generation


def test_the_champions_own_model_reuses_the_evaluation_that_blessed_it(
    inputs: dict[str, SimpleNamespace], make_champion: Callable[..., Champion], tmp_path: Path
) -> None:
    make_champion(tmp_path / "serving", known=[0, 1])
    first = Evaluation.read(_run(inputs, tmp_path, "1")["blessing"].path)
    storage.remove_tree(str(tmp_path / "serving"))
    make_champion(
        tmp_path / "serving", fingerprint="model0", version=4, evaluation=first.fingerprint, thresholds=first.thresholds
    )
    again = Evaluation.read(_run(inputs, tmp_path, "2")["blessing"].path)
    assert (again.fingerprint, again.attempt, again.reasons) == (first.fingerprint, first.attempt, first.reasons)
    assert again.champion_version == 4
    # With the thresholds of another evaluation, it is compared with the served ones.
    storage.remove_tree(str(tmp_path / "serving"))
    make_champion(tmp_path / "serving", fingerprint="model0", version=4, thresholds=(0.9999,) * 6)
    third = Evaluation.read(_run(inputs, tmp_path, "3")["blessing"].path)
    assert third.fingerprint != first.fingerprint
    assert any("compared with the champion (version 4)" in reason for reason in third.reasons)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_lost_pointer_is_not_mistaken_for_no_champion(
    inputs: dict[str, SimpleNamespace], make_champion: Callable[..., Champion], tmp_path: Path, content: str | None
) -> None:
    make_champion(tmp_path / "serving")
    pointer = tmp_path / "serving" / "hpa" / "champion.json"
    pointer.unlink()
    if content:
        pointer.write_text(content)
    found = Evaluation.read(_run(inputs, tmp_path, "1")["blessing"].path)
    assert found.verdict == "not enough evidence"
    assert "python -m pipeline models rollback" in found.reasons[0]


def test_a_first_push_that_was_killed_before_its_promotion_resumes(
    inputs: dict[str, SimpleNamespace], make_champion: Callable[..., Champion], tmp_path: Path
) -> None:
    make_champion(tmp_path / "serving", version=1, fingerprint="model0")
    (tmp_path / "serving" / "hpa" / "champion.json").unlink()
    assert Evaluation.read(_run(inputs, tmp_path, "1")["blessing"].path).blessed


def test_a_model_that_became_the_champion_is_not_evaluated_again(
    inputs: dict[str, SimpleNamespace], make_champion: Callable[..., Champion], tmp_path: Path
) -> None:
    make_champion(tmp_path / "serving", known=[0, 1])
    challenged = Evaluation.read(_run(inputs, tmp_path, "1")["blessing"].path)
    assert challenged.inputs["champion"]
    # As push does with a better model: the pointer names it and that evaluation.
    pointer = {"version": 4, "model_fingerprint": "model0", "evaluation_fingerprint": challenged.fingerprint}
    (tmp_path / "serving" / "hpa" / "champion.json").write_text(json.dumps(pointer))
    outputs = _run(inputs, tmp_path, "2")
    found = Evaluation.read(outputs["blessing"].path)
    assert (found.fingerprint, found.attempt, found.champion_version) == (challenged.fingerprint, challenged.attempt, 4)
    assert outputs["blessing"].metadata["reused"] is True
    # The parameters were different then.
    other = _run(inputs, tmp_path, "3", blessing_max_class_drop=0.5)["blessing"]
    assert Evaluation.read(other.path).fingerprint != challenged.fingerprint
    assert other.metadata["reused"] is False


def test_wrong_parameters_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    nothing = SimpleNamespace(path=str(tmp_path / "nothing"), metadata={})
    outputs = {name: _Metrics(path="", metadata={}) for name in _OUTPUTS}
    with pytest.raises(ValueError, match=r"blessing_min_gain: expected a number[\s\S]*blessing_max_class_drop: expected"):
        evaluate(
            nothing, nothing, str(tmp_path), str(tmp_path), **outputs, blessing_min_gain=-2.0, blessing_max_class_drop=-0.1
        )


def test_a_full_disk_is_named_and_nothing_is_published_until_there_is_space(
    inputs: dict[str, SimpleNamespace], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data", "64k") as grow:
        with pytest.raises(OSError, match=rf"No space left on device: free some space there .*: '{tmp_path}/data/"):
            _run(inputs, tmp_path, "1")
        assert not list((tmp_path / "data").rglob("manifest.json"))
        grow("64m")
        assert Evaluation.read(_run(inputs, tmp_path, "2")["blessing"].path).blessed
