import base64
import re

import jinja2
import pytest
from markupsafe import Markup

from components.reports.page import Section, find_section, folded, image, named_values, render_page, table


def test_a_page_is_self_contained_and_shows_its_sections_in_order() -> None:
    page = render_page("Title", "Subtitle", [Section("One", Markup("<b>1</b>"), "how to read it"), Section("Two", Markup("2"))])
    assert re.findall(r"<h[12]>(.*?)</h", page) == ["Title", "One", "Two"]
    assert "<b>1</b>" in page
    assert "how to read it" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)|@import|<script", page)


def test_markup_in_text_is_escaped() -> None:
    page = render_page("<script>", "&", [Section("<b>", table(["<i>"], [["<img>"]]), "<u>")])
    assert not {"<script>", "<b>", "<i>", "<img>", "<u>"} & set(re.findall(r"<[a-z]+>", page))
    assert page.count("&lt;script&gt;") == 2


def test_a_table_formats_numbers() -> None:
    html = table(["a", "b", "c"], [[31072, 0.12345, "x"], [1, 2.0, Markup("<b>y</b>")]])
    assert re.findall(r"<th>(.*?)</th>", html) == ["a", "b", "c"]
    assert re.findall(r'<td class="number">(.*?)</td>', html) == ["31,072", "0.123", "1", "2.000"]
    assert re.findall(r"<td>(.*?)</td>", html) == ["x", "<b>y</b>"]


def test_markup_in_names_and_folded_titles_is_escaped() -> None:
    html = folded("<b>", named_values({"<i>": "<u>", "number": 1234}))
    assert html == (
        "<details><summary>&lt;b&gt;</summary><table><tbody><tr><th>&lt;i&gt;</th><td>&lt;u&gt;</td></tr>"
        '<tr><th>number</th><td class="number">1,234</td></tr></tbody></table></details>'
    )


def test_a_section_is_copied_unchanged_to_another_page() -> None:
    section = Section("A & B", Markup("<p>1</p>"), "how to <read> it", "ab")
    page = render_page("One", "", [Section("Before", Markup("")), section, Section("After", Markup(""), anchor="ab2")])
    found = find_section(page, "ab")
    assert found
    part = page[page.index('<section id="ab">') : page.index('<section id="ab2">')]
    assert part.split() == re.findall(r'<section id="ab">.*?</section>', render_page("Two", "", [found]), re.DOTALL)[0].split()
    assert find_section(page, "a") is None


def test_an_image_is_embedded_with_an_alternative_text() -> None:
    html = image(b"\x89PNG", "png", 'a "quoted" text')
    assert base64.b64encode(b"\x89PNG").decode() in html
    assert 'alt="a &#34;quoted&#34; text"' in html


def test_a_section_without_a_title_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_page("Title", "", [object()])  # type: ignore[list-item]
