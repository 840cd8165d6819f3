"""Errors of files named on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.__main__ import app


@pytest.mark.parametrize("command", [["submit"], ["schedule", "create", "--every", "7d"], ["preflight"]], ids=" ".join)
@pytest.mark.parametrize(("option", "made_by"), [("--file", "python -m pipeline compile"), ("--digests", "make push-images")])
def test_a_missing_file_is_reported_with_its_command(command: list[str], option: str, made_by: str, tmp_path: Path) -> None:
    places = ["source=synthetic:450", "data_root=gs://bucket/hpa", "serving_root=gs://bucket/models"]
    refused = CliRunner().invoke(app, [*command, *places, option, str(tmp_path / "none")])
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{option}: expected a file, but there is none at {tmp_path}/none: `{made_by} ")
    folder = CliRunner().invoke(app, [*command, *places, option, str(tmp_path)])
    assert folder.exit_code == 1
    assert folder.stderr == f"{option}: expected a file, but {tmp_path} is a folder\n"


@pytest.mark.parametrize("words", [["compile", "--output"], ["preview", "synthetic:28", "--out"]], ids=" ".join)
def test_a_folder_is_refused_as_output_file(words: list[str], tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, [*words, str(tmp_path)])
    assert refused.exit_code == 1
    assert refused.stderr.endswith(f"expected a file, but {tmp_path} is a folder\n")


def test_an_output_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["compile", "--output", str(tmp_path / "none" / "x.yaml")])
    assert refused.exit_code == 1
    assert refused.stderr.endswith(f"there is no {tmp_path}/none: create it, or give another\n")
