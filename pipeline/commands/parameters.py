"""`parameters`: lists the pipeline's parameters."""

import textwrap

from rich.console import Console
from rich.markup import escape

from pipeline.compiled import load_parameters


def parameters() -> None:
    """Lists the pipeline's parameters with their defaults, meanings and steps."""
    console = Console(highlight=False, soft_wrap=True)  # with the current width of the terminal
    for parameter in load_parameters().values():
        default = "... [dim]required[/]" if parameter.is_required else escape(parameter.default_text)
        steps = ", ".join(parameter.steps) or "the cluster"
        console.print(f"[bold]{parameter.name}[/]={default}  [dim]({steps})[/]")
        meaning = textwrap.wrap(parameter.description, console.width - 4, break_long_words=False, break_on_hyphens=False)
        console.print(textwrap.indent(escape("\n".join(meaning)), "    "))
