import re
from pathlib import Path

import pytest

from components import storage
from components.serving.champion import pointer_uri
from components.serving.inspection import Finding, list_models, report_rollback, verify_models
from components.serving.promotion import push_model, rollback
from tests.components.conftest import MakeModel, blessing, champion_generation


def _texts(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings]


def _is_well(findings: list[Finding]) -> bool:
    return all(finding.is_well for finding in findings)


def _push(models: list[Path], serving: str) -> None:
    for model in models:
        push_model(model, blessing(generation=champion_generation(serving)), serving, "hpa")


def _lists_verifies_and_rolls_back(models: list[Path], serving: str) -> None:
    _push(models, serving)
    storage.write_bytes(f"{serving}/hpa/9/assets/classes.csv", b"")
    lines = _texts(list_models(serving, "hpa"))
    assert [line.split()[0] for line in lines] == ["9", "2", "1"]
    assert "unfinished" in lines[0]
    assert re.fullmatch(r" +2  \d{4}-\d\d-\d\d \d\d:\d\d UTC  model f2  evaluation e  champion", lines[1])
    assert lines[2].endswith("model f1  evaluation e")

    storage.remove_tree(f"{serving}/hpa/9")
    assert report_rollback(1, serving, "hpa").text == f"version 3 is the champion (a copy of version 1): {serving}/hpa/3"
    assert "copy of version 1  champion" in _texts(list_models(serving, "hpa"))[0]

    whole = verify_models(serving, "hpa")
    assert _is_well(whole)
    assert "\n".join(_texts(whole)).count("7 files, unchanged since the push") == 3
    storage.replace_bytes(f"{serving}/hpa/3/variables/variables.index", b"indey")
    storage.remove(f"{serving}/hpa/3/assets/classes.csv")
    storage.write_bytes(f"{serving}/hpa/3/variables/stranger", b"")
    damaged = verify_models(serving, "hpa")
    assert not _is_well(damaged)
    (line,) = [line for line in _texts(damaged) if line.startswith("version 3: ")]
    for problem in (
        "assets/classes.csv is missing",
        "variables/variables.index has other content",
        "variables/stranger is not one of its files",
    ):
        assert problem in line
    assert "version 3 is the champion" in _texts(damaged)


def test_models_in_a_folder_are_listed_verified_and_rolled_back(make_model: MakeModel, tmp_path: Path) -> None:
    _lists_verifies_and_rolls_back([make_model("f1"), make_model("f2")], str(tmp_path / "serving"))


@pytest.mark.object_store
def test_models_in_an_object_store_are_listed_verified_and_rolled_back(make_model: MakeModel, remote_root: str) -> None:
    _lists_verifies_and_rolls_back([make_model("f1"), make_model("f2")], remote_root)


def test_a_missing_champion_or_a_damaged_record_is_a_problem(make_model: MakeModel, tmp_path: Path) -> None:
    serving = str(tmp_path / "serving")
    _push([make_model("f1"), make_model("f2")], serving)
    Path(serving, "hpa", "1", "assets.extra", "pushed.json").write_text("{}")
    Path(serving, "hpa", "2", "saved_model.pb").unlink()
    verified = verify_models(serving, "hpa")
    assert not _is_well(verified)
    assert "version 1: its record of checksums is damaged or missing" in _texts(verified)
    assert "version 2 is the champion, but it is missing" in _texts(verified)


@pytest.mark.parametrize("content", [None, b"", b"{version: 2}"])
def test_a_lost_or_damaged_pointer_is_reported_and_rewritten(
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
        message = "\n".join(finding.text for finding in findings if not finding.is_well)
        assert f"{pointer} is damaged" in message or f"there is no {pointer}" in message
        assert "still serves the highest version, 2. To make it the champion again" in message
    with pytest.raises(ValueError, match="expected one of the versions 1, 2"):
        report_rollback(3, serving, "hpa")
    assert report_rollback(2, serving, "hpa").text.startswith("version 2 is the champion (champion.json was rewritten)")
    assert verify_models(serving, "hpa")[-1].text == "version 2 is the champion"
    pointer.unlink()
    assert report_rollback(1, serving, "hpa").text.startswith("version 3 is the champion (a copy of version 1)")
    assert all(finding.is_well for finding in verify_models(serving, "hpa"))


def test_there_is_nothing_to_roll_back_to_before_the_first_push(tmp_path: Path) -> None:
    assert list_models(str(tmp_path), "hpa") == verify_models(str(tmp_path), "hpa") == []
    with pytest.raises(ValueError, match=r"expected one of the versions \(none\)"):
        report_rollback(1, str(tmp_path), "hpa")


def test_a_rollback_to_the_champion_reports_that_nothing_was_done(make_model: MakeModel, tmp_path: Path) -> None:
    _push([make_model("f1"), make_model("f2")], str(tmp_path))
    rollback(1, str(tmp_path), "hpa")
    assert report_rollback(1, str(tmp_path), "hpa").text.startswith("version 3 is the champion (it was already)")
