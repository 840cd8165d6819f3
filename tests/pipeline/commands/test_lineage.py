from pathlib import Path

from rich.console import Console

from components.serving.lineage import Link
from pipeline.commands.lineage import as_lines, as_tree
from tests.pipeline.commands.conftest import invoke

LINKS = [
    Link("pushed model: version 1 of hpa", {"where": "/serving/hpa/1", "empty": ""}),
    Link("evaluation e1", {"verdict": "blessed [really]"}, "there is no manifest"),
]


def test_a_pipe_gets_indented_lines() -> None:
    assert as_lines(LINKS) == [
        "pushed model: version 1 of hpa",
        "    where: /serving/hpa/1",
        "  evaluation e1",
        "      BROKEN: there is no manifest",
        "      verdict: blessed [really]",
    ]


def test_a_terminal_gets_a_tree() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(as_tree(LINKS))
    shown = capture.get()
    assert "└── evaluation e1" in shown
    assert "there is no manifest" in shown
    assert "blessed [really]" in shown


def test_a_folder_without_a_run_or_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = invoke("lineage", tmp_path)
    assert refused.exit_code == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"{tmp_path}: expected the folder of a local run")
