"""The commands' help, which is their docstrings."""

import inspect
import re

import typer

# What keeps its lines: an example, and a list.
_LINES = re.compile(r"(Example: |[-*] )")


def join_paragraphs(app: typer.Typer) -> None:
    """Has a terminal break the lines of each command's help where it is full, and not where the source is."""
    for registered in (app.registered_callback, *app.registered_commands):
        if registered and registered.callback:
            registered.help = "\n\n".join(map(_join, (inspect.getdoc(registered.callback) or "").split("\n\n")))
    for group in app.registered_groups:
        if group.typer_instance:
            join_paragraphs(group.typer_instance)


def _join(paragraph: str) -> str:
    return paragraph if _LINES.match(paragraph) else " ".join(paragraph.split())
