"""`python -m pipeline models`, as it is called."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components import storage
from components.serving.champion import find_champion, pointer_uri
from components.serving.inspection import list_models, roll_back, verify_models
from components.serving.promotion import push_model, rollback
from pipeline.compiled import ROOT
from tests.components.conftest import MakeModel


def _models(serving: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "models", *arguments, "--serving-root", serving]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _push(models: list[Path], serving: str) -> None:
    for model in models:
        champion = find_champion(serving, "hpa")
        push_model(model, [0.5, 0.5], "e", champion.generation if champion else "", serving, "hpa")


def _shows_verifies_and_takes_back(models: list[Path], serving: str) -> None:
    _push(models, serving)
    storage.write_bytes(f"{serving}/hpa/9/assets/classes.csv", b"")
    lines = _models(serving, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["9", "2", "1"]
    assert "unfinished" in lines[0]
    assert re.fullmatch(r" +2  \d{4}-\d\d-\d\d \d\d:\d\d UTC  model f2  evaluation e  champion", lines[1])
    assert lines[2].endswith("model f1  evaluation e")

    storage.remove_tree(f"{serving}/hpa/9")
    taken_back = _models(serving, "rollback", "1")
    assert taken_back.returncode == 0, taken_back.stderr
    assert f"version 3 is the champion (a copy of version 1): {serving}/hpa/3" in taken_back.stdout
    assert "copy of version 1  champion" in _models(serving, "list").stdout

    whole = _models(serving, "verify")
    assert whole.returncode == 0, whole.stdout
    assert whole.stdout.count("6 files as they were pushed") == 3
    storage.replace_bytes(f"{serving}/hpa/3/variables/variables.index", b"indey")
    storage.remove(f"{serving}/hpa/3/assets/classes.csv")
    storage.write_bytes(f"{serving}/hpa/3/variables/stranger", b"")
    damaged = _models(serving, "verify")
    assert damaged.returncode == 1
    (line,) = [line for line in damaged.stdout.splitlines() if line.startswith("version 3: ")]
    for problem in (
        "assets/classes.csv is missing",
        "variables/variables.index has other content",
        "variables/stranger is not one of its files",
    ):
        assert problem in line
    assert "version 3 is the champion" in damaged.stdout


def test_models_of_a_folder_are_shown_verified_and_taken_back(make_model: MakeModel, tmp_path: Path) -> None:
    _shows_verifies_and_takes_back([make_model("f1"), make_model("f2")], str(tmp_path / "serving"))


@pytest.mark.gcs
def test_models_of_an_object_store_are_shown_verified_and_taken_back(make_model: MakeModel, gcs_root: str) -> None:
    _shows_verifies_and_takes_back([make_model("f1"), make_model("f2")], gcs_root)


def test_a_champion_that_is_gone_or_a_damaged_record_is_not_well(make_model: MakeModel, tmp_path: Path) -> None:
    serving = str(tmp_path / "serving")
    _push([make_model("f1"), make_model("f2")], serving)
    Path(serving, "hpa", "1", "assets.extra", "pushed.json").write_text("{}")
    Path(serving, "hpa", "2", "saved_model.pb").unlink()
    verified = _models(serving, "verify")
    assert verified.returncode == 1
    assert "version 1: its record of checksums is damaged or missing" in verified.stdout
    assert "version 2 is the champion, but it is not there" in verified.stdout


@pytest.mark.parametrize("content", [None, b"", b"{version: 2}"])
def test_a_pointer_that_is_lost_or_damaged_is_told_and_written_anew(
    make_model: MakeModel, tmp_path: Path, content: bytes | None
) -> None:
    serving = str(tmp_path / "serving")
    _push([make_model("f1"), make_model("f2")], serving)
    pointer = Path(pointer_uri(serving, "hpa"))
    if content is None:
        pointer.unlink()
    else:
        pointer.write_bytes(content)
    for findings in (list_models(serving, "hpa"), verify_models(serving, "hpa")):
        told = "\n".join(finding.text for finding in findings if not finding.is_well)
        assert f"{pointer} is damaged" in told or f"there is no {pointer}" in told
        assert "takes the highest all the same, version 2. To make it the champion again" in told
    with pytest.raises(ValueError, match="expected one of the versions 1, 2"):
        roll_back(3, serving, "hpa")
    assert roll_back(2, serving, "hpa").text.startswith("version 2 is the champion (champion.json is written anew)")
    assert verify_models(serving, "hpa")[-1].text == "version 2 is the champion"
    pointer.unlink()
    assert roll_back(1, serving, "hpa").text.startswith("version 3 is the champion (a copy of version 1)")
    assert all(finding.is_well for finding in verify_models(serving, "hpa"))


def test_where_nothing_was_pushed_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    for action in ("list", "verify"):
        shown = _models(str(tmp_path), action)
        assert (shown.returncode, shown.stdout) == (0, f"{tmp_path}/hpa: no version yet\n")
    refused = _models(str(tmp_path), "rollback", "1")
    assert (refused.returncode, "expected one of the versions (none)" in refused.stderr) == (1, True)
    assert "model_name: expected letters" in _models(str(tmp_path), "list", "--model-name", "../x").stderr


def test_a_rollback_says_so_when_there_is_nothing_to_do(make_model: MakeModel, tmp_path: Path) -> None:
    _push([make_model("f1"), make_model("f2")], str(tmp_path))
    rollback(1, str(tmp_path), "hpa")
    assert "version 3 is the champion (it was already)" in _models(str(tmp_path), "rollback", "1").stdout
