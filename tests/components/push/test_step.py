import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.artifacts.manifest import MODEL_EVALUATION, Evaluation
from components.push.step import push
from components.serving.inspection import verify_models
from components.serving.versions import find_versions
from components.storage import SwappedMeanwhileError
from tests.components.conftest import MakeModel, blessing, champion_generation
from tests.small_disk import small_disk


def _push(model: Path, tmp_path: Path, **changed: Any) -> dict[str, Any]:
    """Runs the step on a model that was judged against the current champion, and returns its result."""
    serving = str(tmp_path / "serving")
    judged = blessing(f"e-{model.name}", champion_generation(serving), [0.25, 0.75])
    verdict = judged.model_copy(update={"model_fingerprint": model.name, **changed})
    artifacts = [SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("blessing", "thresholds", "pushed")]
    verdict_file, thresholds, pushed = artifacts
    verdict.save(verdict_file)
    Path(thresholds.path).write_text(json.dumps({"thresholds": verdict.thresholds}), encoding="utf-8")
    push(SimpleNamespace(path=str(model), metadata={}), thresholds, verdict_file, serving, pushed)
    assert pushed.metadata["inputs"] == {"model": model.name, "evaluation": f"e-{model.name}"}
    result = json.loads(Path(pushed.path).read_text())
    assert result.items() <= pushed.metadata.items()
    assert pushed.metadata["display_name"] == (f"hpa version {result['version']}" if "version" in result else "nothing pushed")
    assert pushed.metadata["reused"] == (not result["pushed"] and "version" in result)
    return result


def test_a_blessed_model_is_pushed_once_with_its_thresholds(
    make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_model("f1")
    first = _push(model, tmp_path)
    assert (first["pushed"], first["version"], first["version_uri"]) == (True, 1, f"{tmp_path}/serving/hpa/1")
    assert Path(first["version_uri"], "assets", "thresholds.csv").read_text() == "0.25\n0.75\n"
    kept = Evaluation.read(f"{first['version_uri']}/{MODEL_EVALUATION}")
    assert (kept.fingerprint, kept.thresholds, kept.uri) == ("e-f1", [0.25, 0.75], "")
    assert "version 1 pushed" in capsys.readouterr().out
    again = _push(model, tmp_path, champion_generation="")
    assert again == first | {"pushed": False, "reasons": ["this model is already the champion, as version 1"]}
    assert "version 1 already exists" in capsys.readouterr().out


def test_a_model_that_is_not_blessed_is_not_pushed(make_model: MakeModel, tmp_path: Path) -> None:
    result = _push(make_model("f1"), tmp_path, blessed=False, verdict="no", reasons=["worse than the baseline"])
    assert result == {"pushed": False, "reasons": ["worse than the baseline"], "model_fingerprint": "f1"}
    assert not (tmp_path / "serving").exists()


def test_an_old_version_is_not_pushed_again_and_names_the_rollback(make_model: MakeModel, tmp_path: Path) -> None:
    _push(make_model("f1"), tmp_path)
    _push(make_model("f2"), tmp_path)
    result = _push(make_model("f1"), tmp_path)
    assert result["pushed"] is False
    assert "models rollback 1" in result["reasons"][0]


def test_a_model_that_was_judged_against_another_champion_fails_the_step(make_model: MakeModel, tmp_path: Path) -> None:
    _push(make_model("f1"), tmp_path)
    with pytest.raises(SwappedMeanwhileError, match="now version 1 is the champion"):
        _push(make_model("f2"), tmp_path, champion_generation="")


def test_a_full_disk_is_named_and_no_version_is_made_until_there_is_space(make_model: MakeModel, tmp_path: Path) -> None:
    model, serving = make_model("f1"), tmp_path / "serving"
    (model / "variables" / "large").write_bytes(bytes(300_000))
    serving.mkdir()
    with small_disk(serving, "256k") as grow:
        with pytest.raises(OSError, match=rf"No space left on device: free some space there .*: '{serving}/"):
            _push(model, tmp_path)
        assert find_versions(str(serving / "hpa")) == []
        grow("16m")
        assert _push(model, tmp_path)["version"] == 1
        assert all(finding.is_well for finding in verify_models(str(serving), "hpa"))
