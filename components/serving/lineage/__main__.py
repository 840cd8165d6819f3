"""The command `python -m pipeline lineage`."""

import argparse
import sys

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.tree import Tree

from components.serving.lineage.walk import Link, walk


def main() -> None:
    """Does what the command line asks for. The exit status is 1 where a link is broken."""
    parser = argparse.ArgumentParser(prog="python -m components.serving.lineage")
    parser.add_argument("target")
    parser.add_argument("data_root")
    options = parser.parse_args()
    try:
        links = walk(options.target, options.data_root)
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(as_tree(links))
    else:
        print("\n".join(as_lines(links)))
    sys.exit(1 if any(link.problem for link in links) else 0)


def as_lines(links: list[Link]) -> list[str]:
    """For other programs: each link is indented below the one that came from it."""
    lines = []
    for depth, link in enumerate(links):
        said = [f"{name}: {value}" for name, value in link.facts.items() if value]
        problems = [f"BROKEN: {link.problem}"] if link.problem else []
        lines += [f"{'  ' * depth}{link.title}", *(f"{'  ' * depth}    {line}" for line in [*problems, *said])]
    return lines


def as_tree(links: list[Link]) -> Tree:
    """For people."""
    first, *others = links
    tree = branch = Tree(_node(first), guide_style="dim")
    for link in others:
        branch = branch.add(_node(link))
    return tree


def _node(link: Link) -> Group:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    if link.problem:
        facts.add_row("broken", f"[red]{escape(link.problem)}[/]")
    for name, value in link.facts.items():
        if value:
            facts.add_row(name, escape(value))
    return Group(f"[bold]{escape(link.title)}[/]", Padding(facts, (0, 0, 0, 2)))


if __name__ == "__main__":
    main()
