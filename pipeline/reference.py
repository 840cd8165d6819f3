"""Generates reference pages in docs/: the pipeline's picture, all parameters, all commands and options, all make targets.

Usage: `python -m pipeline.reference [--check]`
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
import yaml

from pipeline.__main__ import app
from pipeline.compiled import PIPELINE_YAML, ROOT, load_parameters, load_steps, step_tasks
from pipeline.graph import Graph, Look, draw

PROGRAM = "python -m pipeline"
_NOTE = "<!-- Made by `make docs`: do not edit. -->\n"
_TARGET = re.compile(r"^([a-z-]+):.*?## (.*)$", re.MULTILINE)

# The graph is drawn for a page with a style. The picture needs its own, for light and dark pages.
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #64748b } .name { font-size: 15px; font-weight: 600; fill: #0f172a }
.label { font-size: 12px; text-anchor: middle } .edge { fill: none; stroke: #94a3b8; stroke-width: 1.5 }
marker path { fill: #94a3b8 } rect { fill: #fff; stroke: #cbd5e1; stroke-width: 1.5 } .bar { stroke: none; fill: #0f766e }
.paper { fill: #fff; stroke: none }
</style><rect class="paper" width="100%" height="100%" rx="10"/>"""
# The length of the lines below a step's name, of which two fit.
_LINE_LENGTH = 23


def picture() -> str:
    """The graph as an SVG file. Each box lists the step's user-facing outputs."""
    spec = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))
    graph = Graph.read(spec)
    looks = {step: Look("", tuple(textwrap.wrap(", ".join(_kept(spec, graph, step)), _LINE_LENGTH))) for step in graph.steps}
    svg = str(draw(graph, looks)).replace("<defs>", f"{_STYLE}<defs>", 1)
    return svg.replace('<svg class="graph"', '<svg xmlns="http://www.w3.org/2000/svg"') + "\n"


def _kept(spec: dict[str, Any], graph: Graph, step: str) -> list[str]:
    taken = {name for edge in graph.edges if edge.producer == step for name in edge.artifacts}
    component = spec["components"][step_tasks(spec)[step]["componentRef"]["name"]]
    outputs = set(component.get("outputDefinitions", {}).get("artifacts", {})) - taken
    return sorted(outputs, key=lambda name: (name.endswith("report"), name))


def parameters_page() -> str:
    """The page of the pipeline's parameters, under the first step that takes each."""
    parameters = load_parameters()
    lines = [
        _NOTE,
        "# Parameters",
        "",
        f"Give them as `NAME=VALUE` to `{PROGRAM} run`, `submit` or `kfp run create`, or in Kubeflow's form. "
        f"`{PROGRAM} run` and `{PROGRAM} submit` refuse a misspelt name or an invalid value before anything starts. If a run "
        "is created in another way, the step that takes the value refuses it. `beam_options`, which only Beam can parse, is "
        "always checked by convert.",
    ]
    for title, takes in [(step, step) for step in load_steps()] + [("Where steps run", None)]:
        rows = [
            f"| `{one.name}` | {f'`{one.default_text}`' if not one.is_required else 'required'} | {_cell(one.description)} | "
            f"{', '.join(one.steps) or 'the cluster'} |"
            for one in parameters.values()
            if next(iter(one.steps), None) == takes
        ]
        if rows:
            lines += ["", f"## {title}", "", "| parameter | default | meaning | taken by |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """The page of all commands with their arguments and options, and all make targets."""
    lines = [
        _NOTE,
        "# Commands",
        "",
        "Run `make setup` once, then `source .venv/bin/activate`. The commands then work in any folder, and "
        "`hpa-pipeline` is short for their first three words.",
        "",
    ]
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
    """The commands without subcommands, with the words that call them."""
    groups = getattr(command, "commands", None)
    if groups is None:
        yield words, command
    for name, inner in (groups or {}).items():
        yield from _walk(inner, (*words, name))


def _prose(text: str) -> Iterator[str]:
    """The lines of a command's help, with examples as code blocks."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Example: "):
            yield from ("```", " \\\n    ".join(paragraph.removeprefix("Example: ").split("\n")), "```", "")
        else:
            yield from (_cell(paragraph), "")


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name, is_flag = f"{parameter.metavar}..." if parameter.metavar else f"<{parameter.name}>", False
    else:
        is_flag = parameter.is_flag
        name = parameter.opts[0] if is_flag else f"{parameter.opts[0]} <{_kind(parameter)}>"
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    has_none = shown is None or shown == "" or is_flag
    default = "required" if parameter.required else "" if has_none else f"`{shown}`"
    return f"| `{name}` | {default} | {_cell(parameter.help or '')} |"


def _kind(parameter: Any) -> str:
    name = getattr(parameter.type_descriptor.annotation, "__name__", "text").lower()
    kinds = {"int": "number", "float": "number", "str": "text", "list": "text", "predictionprecision": "precision"}
    return kinds.get(name, name)


def _cell(text: str) -> str:
    """Text in one line, with HTML escaped."""
    text = " ".join(text.split()).replace("|", "\\|")
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in re.split(r"(`[^`]*`)", text))


PAGES = {"docs/parameters.md": parameters_page, "docs/commands.md": commands_page, "docs/pipeline.svg": picture}


def main() -> None:
    """Writes the pages, or reports which ones are out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(stale)}: out of date. Run `make docs` and commit the result.")
    print(f"Written: {', '.join(stale)}." if stale else "All pages are up to date.")


if __name__ == "__main__":
    main()
