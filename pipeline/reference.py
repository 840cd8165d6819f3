"""What the code itself says in docs/: the pipeline's picture, every parameter, every command and option, every make target.

Usage: `python -m pipeline.reference [--check]`
"""

import argparse
import re
import sys
from collections.abc import Iterator
from typing import Any

import typer

from pipeline.__main__ import app
from pipeline.compiled import ROOT, load_parameters
from pipeline.diagram import draw_pipeline
from pipeline.local import STEPS

PROGRAM = "python -m pipeline"
_NOTE = "<!-- Made by `make docs`: do not edit. -->\n"
_TARGET = re.compile(r"^([a-z-]+):.*?## (.*)$", re.MULTILINE)


def parameters_page() -> str:
    """The pipeline's parameters, under the first step that takes them."""
    parameters = load_parameters()
    lines = [
        _NOTE,
        "# Parameters",
        "",
        f"Given as `NAME=VALUE` to `{PROGRAM} run` or `kfp run create`, or in the form of Kubeflow's user interface. "
        "A misspelt name or a value that cannot be meant is refused before anything starts.",
    ]
    for title, takes in [(step, step) for step in STEPS] + [("Where steps run", None)]:
        rows = [
            f"| `{one.name}` | {f'`{one.default_text}`' if not one.is_required else 'required'} | {_cell(one.description)} | "
            f"{', '.join(one.steps)} |"
            for one in parameters.values()
            if next(iter(one.steps), None) == takes
        ]
        if rows:
            lines += ["", f"## {title}", "", "| parameter | default | meaning | taken by |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Every command with its arguments and options, and every make target."""
    lines = [_NOTE, "# Commands", "", "After `make setup`, once, and `source .venv/bin/activate`: then from any folder.", ""]
    for words, command in _walk(typer.main.get_command(app), ()):
        lines += [f"## {' '.join(words)}", "", *_prose(command.help or "")]
        rows = [_row(parameter) for parameter in command.params]
        if rows:
            lines += ["| | default | |", "|---|---|---|", *rows, ""]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines += ["## make", "", "| | |", "|---|---|"]
    lines += [f"| `make {target}` | {_cell(text)} |" for target, text in _TARGET.findall(makefile)]
    return "\n".join(lines) + "\n"


def _walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The commands that do something, with the words that call them."""
    groups = getattr(command, "commands", None)
    if groups is None:
        yield words, command
    for name, inner in (groups or {}).items():
        yield from _walk(inner, (*words, name))


def _prose(text: str) -> Iterator[str]:
    """A command's help: its examples become blocks of their own."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Example: "):
            yield from ("```", paragraph.removeprefix("Example: "), "```", "")
        else:
            yield from (_cell(paragraph), "")


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name, is_flag = parameter.metavar or f"<{parameter.name}>", False
    else:
        is_flag = parameter.is_flag
        name = parameter.opts[0] if is_flag else f"{parameter.opts[0]} <{_kind(parameter)}>"
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    has_none = shown is None or shown == "" or is_flag
    default = "required" if parameter.required else "" if has_none else f"`{shown}`"
    return f"| `{name}` | {default} | {_cell(parameter.help or '')} |"


def _kind(parameter: Any) -> str:
    name = getattr(parameter.type_descriptor.annotation, "__name__", "text").lower()
    return {"int": "number", "float": "number", "str": "text"}.get(name, name)


def _cell(text: str) -> str:
    """Text in one line, in which what looks like HTML is shown as it is."""
    text = " ".join(text.split()).replace("|", "\\|")
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in re.split(r"(`[^`]*`)", text))


PAGES = {"docs/parameters.md": parameters_page, "docs/commands.md": commands_page, "docs/pipeline.svg": draw_pipeline}


def main() -> None:
    """Writes the pages, or says which ones are not current."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not what the code says")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: not what the code says. Run `make docs` and commit the result.")
    print(f"Written: {', '.join(stale)}." if stale else "All pages are up to date.")


if __name__ == "__main__":
    main()
