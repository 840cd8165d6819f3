"""The graph of a compiled pipeline's steps, and its drawing as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from markupsafe import Markup

from pipeline.compiled import step_tasks

_WIDTH, _HEIGHT, _GAP, _SPACE = 184, 76, 118, 40
_MARGIN = 12
# The height of curves that pass other steps, and of a line of their labels.
_ARC, _LINE = 46, 14


@dataclass(frozen=True)
class Edge:
    """The artifacts that one step passes to another."""

    producer: str
    consumer: str
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The steps in topological order, and the artifacts passed between them."""

    steps: tuple[str, ...]
    edges: tuple[Edge, ...]

    @classmethod
    def read(cls, spec: Mapping[str, Any]) -> "Graph":
        """Reads the first document of a compiled pipeline."""
        tasks = step_tasks(spec)
        taken: dict[tuple[str, str], list[str]] = {}
        for consumer, task in tasks.items():
            for source in task.get("inputs", {}).get("artifacts", {}).values():
                made = source["taskOutputArtifact"]
                taken.setdefault((made["producerTask"], consumer), []).append(made["outputArtifactKey"])
        edges = [Edge(*pair, tuple(sorted(names))) for pair, names in taken.items()]
        ranks = cls(tuple(tasks), tuple(edges)).ranks
        return cls(
            tuple(sorted(tasks, key=lambda step: (ranks[step], step))),
            tuple(sorted(edges, key=lambda edge: (ranks[edge.producer], ranks[edge.consumer]))),
        )

    @property
    def ranks(self) -> dict[str, int]:
        """The length of the longest path to each step.

        Raises:
            CycleError: If the graph has a cycle.
        """
        before: dict[str, set[str]] = {step: set() for step in self.steps}
        for edge in self.edges:
            before[edge.consumer].add(edge.producer)
        ranks: dict[str, int] = {}
        for step in TopologicalSorter(before).static_order():
            ranks[step] = 1 + max((ranks[name] for name in before[step]), default=-1)
        return ranks


@dataclass(frozen=True)
class Look:
    """How a step is drawn: `kind` is a CSS class of the page; the lines appear below its name."""

    kind: str
    lines: tuple[str, ...]


def draw(graph: Graph, looks: Mapping[str, Look]) -> Markup:
    """Draws the graph from left to right, as SVG for a page. Each step links to `#<step>`."""
    ranks = graph.ranks
    columns: dict[int, list[str]] = {}
    for step in graph.steps:
        columns.setdefault(ranks[step], []).append(step)
    passing = [edge for edge in graph.edges if ranks[edge.consumer] - ranks[edge.producer] > 1]
    top = _MARGIN + (_ARC + _LINE if passing else 0)
    places = {
        step: (_MARGIN + rank * (_WIDTH + _GAP), top + row * (_HEIGHT + _SPACE))
        for rank, column in columns.items()
        for row, step in enumerate(column)
    }
    bottom = top + max(map(len, columns.values())) * (_HEIGHT + _SPACE) - _SPACE
    edges = []
    for edge in graph.edges:
        if edge in passing:
            edges.append(_arc(edge, places, top, bottom, is_above=passing.index(edge) % 2 == 0))
        else:
            edges.append(_straight(edge, places))
    width = 2 * _MARGIN + len(columns) * (_WIDTH + _GAP) - _GAP
    height = bottom + _MARGIN + (_ARC + _LINE if len(passing) > 1 else 0)
    steps = [_step(step, looks[step], *places[step]) for step in graph.steps]
    return Markup(
        '<svg class="graph" viewBox="0 0 {} {}" role="img" aria-label="The graph of the steps"><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
        "</defs>{}</svg>"
    ).format(width, height, Markup("").join([*edges, *steps]))


def _step(step: str, look: Look, x: int, y: int) -> Markup:
    lines = [
        Markup('<text x="{}" y="{}">{}</text>').format(x + 16, y + 44 + number * 18, line)
        for number, line in enumerate(look.lines)
    ]
    return Markup(
        '<a href="#{}"><g class="step {}"><rect x="{}" y="{}" width="{}" height="{}" rx="7"/>'
        '<rect class="bar" x="{}" y="{}" width="6" height="{}" rx="3"/><text class="name" x="{}" y="{}">{}</text>{}</g></a>'
    ).format(step, look.kind, x, y, _WIDTH, _HEIGHT, x, y, _HEIGHT, x + 16, y + 23, step, Markup("").join(lines))


def _straight(edge: Edge, places: Mapping[str, tuple[int, int]]) -> Markup:
    (x1, y1), (x2, y2) = places[edge.producer], places[edge.consumer]
    start, end = (x1 + _WIDTH, y1 + _HEIGHT // 2), (x2, y2 + _HEIGHT // 2)
    path = f"M{start[0]} {start[1]}L{end[0] - 2} {end[1]}"
    return _edge(path, (start[0] + end[0]) // 2, (start[1] + end[1]) // 2, edge.artifacts)


def _arc(edge: Edge, places: Mapping[str, tuple[int, int]], top: int, bottom: int, is_above: bool) -> Markup:
    (x1, y1), (x2, y2) = places[edge.producer], places[edge.consumer]
    x1, x2 = x1 + _WIDTH * 3 // 4, x2 + _WIDTH // 4
    y1, y2 = (y1, y2) if is_above else (y1 + _HEIGHT, y2 + _HEIGHT)
    peak, away = (top - _ARC, -2) if is_above else (bottom + _ARC, 2)
    rise = f"M{x1} {y1}C{x1} {peak} {x1 + 20} {peak} {x1 + 60} {peak}"
    path = f"{rise}L{x2 - 60} {peak}C{x2 - 20} {peak} {x2} {peak} {x2} {y2 + away}"
    return _edge(path, (x1 + x2) // 2, peak, edge.artifacts)


def _edge(path: str, x: int, y: int, names: Sequence[str]) -> Markup:
    """A line labelled with its artifacts, half of them above and half below."""
    above = (len(names) + 1) // 2
    labels = [
        Markup('<text class="label" x="{}" y="{}">{}</text>').format(
            x, y - 5 - (above - 1 - number) * _LINE if number < above else y + 13 + (number - above) * _LINE, name
        )
        for number, name in enumerate(names)
    ]
    return Markup('<path class="edge" d="{}" marker-end="url(#tip)"/>{}').format(path, Markup("").join(labels))
