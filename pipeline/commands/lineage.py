"""`lineage`: traces a served model back to its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.tree import Tree

from pipeline.commands.options import pipeline_root_option
from pipeline.commands.output import reported
from pipeline.local import absolute, default_locations
from pipeline.run_record import RUN_RECORD, RunRecord

if TYPE_CHECKING:
    from components.serving.lineage import Link


def lineage(
    target: Annotated[
        str,
        typer.Argument(help="The folder of a run, of a version (or gs://..., s3://...), or of a model: its champion."),
    ],
    data_root: Annotated[str, typer.Option(help="The pipeline's data_root; a run's folder knows its own.")] = "",
    pipeline_root: Annotated[Path, pipeline_root_option("As for `run`: the default location of data.")] = Path("outputs"),
) -> None:
    """Walks from a pushed model, or from a run, to its images: evaluation, training, examples, raw images, source.

    Each is shown with its fingerprint, counts, parameters, licence and date. Missing or damaged ones set the exit status to 1.

    Example: python -m pipeline lineage outputs/serving/hpa
    """
    target = absolute(target)
    given = {"data_root": data_root} if data_root else {}
    if not given and (Path(target) / RUN_RECORD).is_file():
        try:
            given = {"data_root": RunRecord.read(Path(target)).arguments["data_root"]}
        except (ValueError, KeyError) as error:
            raise typer.BadParameter(f"{error}. Give --data-root", param_hint="target") from None
    with reported():
        from components.serving.lineage import walk

        links = walk(target, default_locations(given, pipeline_root)["data_root"])
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(as_tree(links))
    else:
        print("\n".join(as_lines(links)))
    if any(link.problem for link in links):
        raise typer.Exit(1)


def as_lines(links: list["Link"]) -> list[str]:
    """Formats links as plain lines, each indented below the one before."""
    lines = []
    for depth, link in enumerate(links):
        said = [f"{name}: {value}" for name, value in link.facts.items() if value]
        problems = [f"BROKEN: {link.problem}"] if link.problem else []
        lines += [f"{'  ' * depth}{link.title}", *(f"{'  ' * depth}    {line}" for line in [*problems, *said])]
    return lines


def as_tree(links: list["Link"]) -> Tree:
    """Formats links as a tree for a terminal."""
    first, *others = links
    tree = branch = Tree(_node(first), guide_style="dim")
    for link in others:
        branch = branch.add(_node(link))
    return tree


def _node(link: "Link") -> Group:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if link.problem:
        facts.add_row("broken", f"[red]{escape(link.problem)}[/]")
    for name, value in link.facts.items():
        if value:
            facts.add_row(name, escape(value))
    return Group(f"[bold]{escape(link.title)}[/]", Padding(facts, (0, 0, 0, 2)))
