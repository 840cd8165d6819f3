import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.commands.run import summarise
from pipeline.compiled import load_steps
from pipeline.local_run import LocalRun
from tests.pipeline.commands.conftest import invoke
from tests.pipeline.test_run_page import OWN, make_run


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


@pytest.mark.parametrize("may_push_anyway", [True, False])
def test_a_run_without_a_model_says_how_to_push_one(may_push_anyway: bool, tmp_path: Path) -> None:
    make_run(tmp_path, load_steps())
    blessing = OWN["blessing"] | {"num_samples": 4, "judged_on": "test"}
    (tmp_path / "hpa-pipeline/evaluate/blessing").write_text(json.dumps(blessing), encoding="utf-8")
    pushed = {"pushed": False, "reasons": ["too few samples"]}
    (tmp_path / "hpa-pipeline/push/pushed_model").write_text(json.dumps(pushed), encoding="utf-8")
    console = Console(file=io.StringIO(), width=200)
    summarise(LocalRun(tmp_path), "serving/hpa", console, may_push_anyway)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert "No model pushed: too few samples" in lines
    advice = "To try this model anyway: add blessing_min_gain=-1 to the same command"
    assert (advice in lines) == may_push_anyway
