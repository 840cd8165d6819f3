"""The commands' help."""

import itertools

import pytest
import typer
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.commands.help_text import join_paragraphs
from tests.pipeline.conftest import commands_of


@pytest.mark.parametrize("words", list(commands_of(typer.main.get_command(app))), ids=" ".join)
def test_paragraphs_are_joined(words: tuple[str, ...]) -> None:
    columns = 90
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(columns)})
    assert shown.exit_code == 0
    prose = [line.strip() for line in shown.output.partition("╭")[0].partition("Usage: ")[2].splitlines()]
    if "Example" in " ".join(prose):
        prose = prose[: next(number for number, line in enumerate(prose) if line.startswith("Example"))]
    assert prose
    for line, after in itertools.pairwise(prose[2:]):
        assert not (line and after) or len(line) + 1 + len(after.split()[0]) > columns - 3, line


def test_examples_and_lists_keep_their_lines() -> None:
    made = typer.Typer()

    @made.command()
    def one() -> None:
        """Does
        one.

        - first
        - second

        Example: x
        --y
        """

    join_paragraphs(made)
    assert made.registered_commands[0].help == "Does one.\n\n- first\n- second\n\nExample: x\n--y"
