"""Advice on commands that are given a parameter as an option, or an option as a parameter."""

import shlex
from typing import Any

import typer
from typer.core import TyperCommand

from pipeline.compiled import load_parameters


def advise(app: typer.Typer) -> None:
    """Lets each command say how it takes a parameter: `run` as labels=FILE, `preview` as --labels FILE."""
    for registered in app.registered_commands:
        registered.cls = _AdvisingCommand
    for group in app.registered_groups:
        if group.typer_instance:
            advise(group.typer_instance)


class _AdvisingCommand(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = {option for parameter in self.params for option in parameter.opts}
        takes_parameters = any(parameter.name == "arguments" for parameter in self.params)
        for arg in args:
            name, is_assigned, value = arg.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            option = f"--{name.replace('_', '-')}"
            if arg.startswith("--") and takes_parameters and option not in options and name in load_parameters():
                ctx.fail(f"{option} is a parameter: write {name}={shlex.quote(value) if value else 'VALUE'}")
            if is_assigned and not arg.startswith("-") and not takes_parameters and option in options:
                ctx.fail(f"{name} is an option here: write {option} {shlex.quote(value)}")
        return super().parse_args(ctx, args)
