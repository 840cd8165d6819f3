"""Every command in the README and docs/ exists, and generated pages are current."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from benchmarks.__main__ import BENCHMARKS, PAGE, section
from components import __version__
from docs.build_site import documents, links
from pipeline.__main__ import app
from pipeline.compiled import ROOT, load_parameters, parse_arguments
from pipeline.reference import PAGES
from tests.documents import DOCUMENTS, Command, commands

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = commands()
PIPELINE = [command for command in COMMANDS if command.starts_with("python", "-m", "pipeline")]
# Commands that take seconds and need no cloud are run unchanged. The tests of the code that they call cover the others.
QUICK = ("parameters", "compile", "preview synthetic:", "prune", "models list", "models verify")
RUN_UNCHANGED = [
    command
    for command in PIPELINE
    if " ".join(command.words[3:]).startswith(QUICK) and not re.search(r"\$|gs://|s3://", str(command))
]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_current(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name](), f"{name}: run make docs"


@pytest.mark.parametrize("command", PIPELINE, ids=str)
def test_pipeline_commands_are_valid(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as by the command line, with every option; each NAME=VALUE is read as by a run."""
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"[\w-]+\.(?:txt|yaml)\b", str(command)):  # files that earlier commands write
        (tmp_path / name).touch()
    words, taken = list(command.words[3:]), typer.main.get_command(app)
    context: Any = None
    while hasattr(taken, "commands"):
        assert words, "expected a command"
        name = words.pop(0)
        assert name in taken.commands, f"there is no command {name}"
        taken = taken.commands[name]
    if words and not any(word.endswith("...") for word in words):
        context = taken.make_context(command.words[3], words)
        for parameter in taken.params:
            if "NAME=VALUE" in str(parameter.metavar):
                parse_arguments(list(context.params[parameter.name] or ()), load_parameters())


def test_commands_are_found_in_the_documents() -> None:
    assert {"run", "preview", "predict", "compile", "models"} <= {command.words[3] for command in PIPELINE if command.words[3:]}
    assert {command.where for command in PIPELINE} >= {"README.md", "docs/commands.md"}


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.starts_with("kfp")], ids=str)
def test_kfp_commands_have_parameters_of_the_pipeline(command: Command) -> None:
    given = [word for word in command.words if re.match(r"[a-z_]+=", word)]
    parse_arguments(given, load_parameters())


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.starts_with("make")], ids=str)
def test_make_targets_and_variables_exist(command: Command) -> None:
    for word in command.words[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"\$\({name}\)" if equals else rf"^{name}:", MAKEFILE, re.MULTILINE), word


@pytest.mark.parametrize(
    "command", [one for one in COMMANDS if one.words[2:3] and one.words[2].startswith("benchmarks.")], ids=str
)
def test_options_of_benchmarks_exist(command: Command) -> None:
    source = (ROOT / f"{command.words[2].replace('.', '/')}.py").read_text(encoding="utf-8")
    for word in command.words[3:]:
        assert not word.startswith("--") or f'add_argument("{word.partition("=")[0]}"' in source, word


@pytest.mark.parametrize("command", RUN_UNCHANGED, ids=str)
def test_quick_commands_run_unchanged(command: Command, tmp_path: Path) -> None:
    digest = f"@sha256:{'0' * 64}\n"
    registry = next((word for word in command.words if "/" in word and "." in word), "")
    (tmp_path / "digests.txt").write_text("".join(f"{registry}/{one}:{__version__}{digest}" for one in _image_names()))
    for folder in ("docs", "outputs"):
        (tmp_path / folder).mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # as `make setup` leaves it
    finished = subprocess.run(
        [sys.executable, *command.words[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip()


def _image_names() -> set[str]:
    return set(re.findall(r"image: .*/([a-z-]+):", (ROOT / "pipeline.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_has_a_target(path: Path) -> None:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], link


def test_the_readme_links_to_every_document() -> None:
    assert [str(path.relative_to(ROOT)) for path in DOCUMENTS if f"({path.relative_to(ROOT)})" not in README] == ["README.md"]


def test_the_site_shows_every_document() -> None:
    config = (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")
    shown = re.findall(r'" = "(\S+\.md)"', config)
    assert sorted(shown) == sorted(str(path.relative_to(ROOT)) for path in documents())


def test_every_benchmark_is_run_by_make_bench() -> None:
    runnable = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if f"python -m benchmarks.{path.stem}" in path.read_text(encoding="utf-8")
    }
    assert runnable == {*BENCHMARKS, "gpu"}  # gpu needs a machine with a GPU


def test_every_figure_of_the_summary_is_in_the_output_of_its_command() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| (.+) \| `python -m benchmarks\.(\w+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 5
    for figure, name in rows:
        printed = set(re.findall(r"\d+(?:\.\d+)?", section(page, name)))
        stated = re.findall(r"\d+(?:\.\d+)?", figure)
        assert stated, figure
        assert [number for number in stated if number not in printed] == [], f"{name}: {figure}"


def test_the_citation_has_the_current_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (__version__, "Apache-2.0")
