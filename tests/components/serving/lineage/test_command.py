"""`python -m pipeline lineage`, as it is called."""

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from components.serving.lineage.__main__ import as_lines, as_tree
from components.serving.lineage.walk import Link
from pipeline.compiled import ROOT

LINKS = [
    Link("pushed model: version 1 of hpa", {"where": "/serving/hpa/1", "empty": ""}),
    Link("evaluation e1", {"verdict": "blessed [really]"}, "there is no manifest"),
]


def test_for_other_programs_there_are_plain_indented_lines() -> None:
    assert as_lines(LINKS) == [
        "pushed model: version 1 of hpa",
        "    where: /serving/hpa/1",
        "  evaluation e1",
        "      BROKEN: there is no manifest",
        "      verdict: blessed [really]",
    ]


def test_for_people_there_is_a_tree() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(as_tree(LINKS))
    shown = capture.get()
    assert "└── evaluation e1" in shown
    assert "there is no manifest" in shown
    assert "blessed [really]" in shown


def test_what_it_cannot_walk_from_is_said_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "lineage", str(tmp_path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"{tmp_path}: expected the folder of a local run")
