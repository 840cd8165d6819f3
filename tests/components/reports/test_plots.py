import base64
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reports.plots import MAX_NAME, figure, label_plainly, make_figure
from components.runtime.wording import shorten


def _svg(label: str) -> str:
    plot = make_figure(6, 2)
    axes = plot.subplots()
    axes.barh([shorten(label, MAX_NAME), "other"], [1, 100])
    axes.set_xscale("log")
    label_plainly(axes.xaxis)
    axes.set_title(shorten(label, MAX_NAME))
    data = re.search(r"base64,([^\"]+)", figure(plot, "bars"))
    assert data
    return base64.b64decode(data[1]).decode()


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_figure_is_a_reproducible_svg_without_a_date() -> None:
    svg = _svg("nucleus")
    assert "<dc:date>" not in svg
    assert svg == _svg("nucleus")


@pytest.mark.parametrize(
    "name",
    [
        "$\\frac{a$",
        "$5 and $6",
        "a_b^c",
        "100 %",
        "<b>&",
        "\u6838",
        "\u05d2\u05e8\u05e2\u05d9\u05df",
        "\U0001f9eb",
        "n" * 200,
        "\\$x",
    ],
)
def test_names_are_drawn_literally(name: str) -> None:
    texts = _texts(_svg(name))
    assert texts.count(shorten(name, MAX_NAME)) == 2
    assert {"1", "10", "100"} <= set(texts)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=200))
def test_no_name_causes_an_error(name: str) -> None:
    assert _svg(name)
