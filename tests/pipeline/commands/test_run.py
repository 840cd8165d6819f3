from pathlib import Path

import pytest

from tests.pipeline.commands.conftest import invoke


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["source=synthetic:10", "epoch=1"], "there is no parameter epoch. Did you mean epochs?"),
        (["epochs=1"], "source is required, such as source=dir:<folder> or source=synthetic:450"),
        (
            ["source=dir:/none"],
            "source: expected a folder with the images and a table of labels. There is no folder /none",
        ),
    ],
)
def test_invalid_arguments_end_the_run_before_anything_starts(words: list[str], message: str, tmp_path: Path) -> None:
    refused = invoke("run", *words, "--pipeline-root", tmp_path / "root")
    assert (refused.exit_code, refused.stderr) == (1, f"{message}\n")
    assert not (tmp_path / "root").exists()
