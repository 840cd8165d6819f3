"""The help of the commands, from their docstrings."""

import inspect
import re

import typer

# Examples and lists keep their line breaks.
_LINES = re.compile(r"(Example: |[-*] )")


def join_paragraphs(app: typer.Typer) -> None:
    """Joins the lines of each paragraph of the commands' help, so that the terminal wraps them."""
    for registered in (app.registered_callback, *app.registered_commands):
        if registered and registered.callback:
            registered.help = "\n\n".join(map(_join, (inspect.getdoc(registered.callback) or "").split("\n\n")))
    for group in app.registered_groups:
        if group.typer_instance:
            join_paragraphs(group.typer_instance)


def _join(paragraph: str) -> str:
    return paragraph if _LINES.match(paragraph) else " ".join(paragraph.split())
