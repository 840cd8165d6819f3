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


def test_the_picture_shows_every_step_and_every_edge_inside_its_frame() -> None:
    graph = Graph.read(SPEC)
    picture = _draw(graph)
    _, _, width, height = map(int, picture.attrib["viewBox"].split())
    texts = [text.text or "" for text in picture.iter("text")]
    assert {*load_steps(), *(f"<{step}>" for step in load_steps())} <= set(texts)
    assert sorted(text for text in texts if text in ("model", "examples")) == ["examples", "examples", "model", "model"]
    boxes = [(int(box.attrib["x"]), int(box.attrib["y"])) for box in picture.iter("rect")]
    assert all(0 <= x < width and 0 <= y < height for x, y in boxes)
    assert len(set(boxes)) == len(load_steps())  # no box covers another
    assert len([path for path in picture.iter("path") if path.attrib.get("class") == "edge"]) == len(graph.edges)


def test_steps_in_the_same_rank_do_not_overlap() -> None:
    graph = Graph(("a", "b", "c"), (Edge("a", "b", ("x",)), Edge("a", "c", ("y",))))
    boxes = {(int(box.attrib["x"]), int(box.attrib["y"])) for box in _draw(graph).iter("rect")}
    assert len(boxes) == 3


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"without a cycle\. Received: a, b"):
        _ = Graph(("a", "b"), (Edge("a", "b", ("x",)), Edge("b", "a", ("y",)))).ranks
