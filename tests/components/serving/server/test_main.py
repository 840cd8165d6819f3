"""The server's command in its image; tests/containers runs it."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from components.serving.server.__main__ import main, make_parser
from pipeline.__main__ import app


@pytest.fixture(autouse=True)
def _sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_server_has_the_options_of_the_command() -> None:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {parameter.name: parameter.default for parameter in command.params if parameter.name != "model"}
    assert vars(make_parser().parse_args(["--model=m"])) == options | {"model": "m", "host": "0.0.0.0"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=nowhere/hpa"], "nowhere/hpa: expected a version"),
        (["--model=nowhere/hpa", "--file-pattern=cells.png"], "file_pattern: expected"),
    ],
)
def test_errors_are_shown_without_a_traceback(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["serve", *arguments, "--host=127.0.0.1", "--port=0"])
    with pytest.raises(SystemExit, match=rf"^serve \| {message}"):
        main()
