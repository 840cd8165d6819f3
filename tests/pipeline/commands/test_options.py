"""Options for the folders of runs."""

from pathlib import Path

import pytest

from tests.pipeline.commands.conftest import invoke


@pytest.mark.parametrize(
    "words",
    [
        ["run", "source=synthetic:10"],
        ["prune", "--keep", "3"],
        ["models", "list"],
        ["models", "verify"],
        ["models", "rollback", "1"],
        ["lineage", "outputs/serving/hpa"],
    ],
    ids=" ".join,
)
def test_a_pipeline_root_that_is_an_address_is_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = invoke(*words, "--pipeline-root", "gs://bucket/x")
    assert refused.exit_code == 2
    assert "--pipeline-root" in refused.stderr
    assert "expected a folder on this machine" in refused.stderr
    assert "Received: gs://bucket/x. Data and models may be elsewhere" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["models", "list"], ["--pipeline-root", "--serving-root"]),
        (["models", "verify"], ["--pipeline-root", "--serving-root"]),
        (["models", "rollback", "1"], ["--pipeline-root", "--serving-root"]),
        (["prune", "--keep", "3"], ["--pipeline-root", "--data-root", "--serving-root"]),
    ],
    ids=" ".join,
)
def test_a_missing_folder_is_refused(words: list[str], options: list[str], tmp_path: Path) -> None:
    there = ["--pipeline-root", tmp_path]
    for option in options:
        refused = invoke(*words, *there, option, tmp_path / "mistyped")
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"{option}: expected a folder that a run has written to")
        assert refused.stderr.strip().endswith(f"there is no folder {tmp_path}/mistyped")


def test_an_empty_folder_has_no_models_or_data(tmp_path: Path) -> None:
    for words, said in ((["models", "verify"], "no version yet"), (["prune", "--keep", "3"], "0 of 0 outputs removed")):
        done = invoke(*words, "--pipeline-root", tmp_path)
        assert done.exit_code == 0
        assert said in done.stdout
