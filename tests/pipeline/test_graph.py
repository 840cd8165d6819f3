from graphlib import CycleError
from itertools import combinations
from xml.etree import ElementTree

import pytest
import yaml

from pipeline.compiled import PIPELINE_YAML, load_steps
from pipeline.graph import Edge, Graph, Look, draw

SPEC = next(yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8")))


def test_the_graph_has_the_steps_and_edges_of_the_committed_pipeline() -> None:
    graph = Graph.read(SPEC)
    assert graph.steps == load_steps()
    assert Edge("convert", "train", ("examples", "transform_graph")) in graph.edges
    assert Edge("evaluate", "push", ("blessing", "thresholds")) in graph.edges
    assert len(graph.edges) == 6


def _draw(graph: Graph) -> ElementTree.Element:
    return ElementTree.fromstring(draw(graph, {step: Look("new", (f"<{step}>",)) for step in graph.steps}))


def _boxes(picture: ElementTree.Element) -> list[tuple[int, ...]]:
    """The x, y, width and height of each step's box."""
    boxes = (box for box in picture.iter("rect") if box.attrib.get("class") != "bar")
    return [tuple(int(box.attrib[name]) for name in ("x", "y", "width", "height")) for box in boxes]


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))


def test_the_picture_shows_every_step_and_every_edge_inside_its_frame() -> None:
    graph = Graph.read(SPEC)
    picture = _draw(graph)
    _, _, width, height = map(int, picture.attrib["viewBox"].split())
    texts = [text.text or "" for text in picture.iter("text")]
    assert {*load_steps(), *(f"<{step}>" for step in load_steps())} <= set(texts)
    assert sorted(text for text in texts if text in ("model", "examples")) == ["examples", "examples", "model", "model"]
    boxes = _boxes(picture)
    assert len(boxes) == len(load_steps())
    assert all(0 <= x <= width - across and 0 <= y <= height - down for x, y, across, down in boxes)
    assert not any(_overlap(one, other) for one, other in combinations(boxes, 2))
    assert len([path for path in picture.iter("path") if path.attrib.get("class") == "edge"]) == len(graph.edges)


def test_steps_in_the_same_rank_do_not_overlap() -> None:
    graph = Graph(("a", "b", "c"), (Edge("a", "b", ("x",)), Edge("a", "c", ("y",))))
    boxes = _boxes(_draw(graph))
    assert len(boxes) == 3
    assert not any(_overlap(one, other) for one, other in combinations(boxes, 2))


def test_a_cycle_is_refused() -> None:
    with pytest.raises(CycleError, match=r"nodes are in a cycle.*'a', 'b'"):
        _ = Graph(("a", "b"), (Edge("a", "b", ("x",)), Edge("b", "a", ("y",)))).ranks
