"""Self-contained HTML pages with the common design of all reports."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

# The anchor of the evaluation report's predicted images, which other pages include.
EXAMPLES = "examples"

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, a sentence on how to read it, and content. Links to it are `#<anchor>`."""

    title: str
    content: Markup
    note: str = ""
    anchor: str = ""


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Renders sections as a page that needs no other file and no network."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, subtitle=subtitle, sections=sections)


def find_section(page: str, anchor: str) -> Section | None:
    """Finds the section of a rendered page with an anchor, to include it in another page."""
    found = re.search(rf'<section id="{re.escape(anchor)}">\s*<h2>(.*?)</h2>(.*?)</section>', page, re.DOTALL)
    return Section(Markup(found[1]), Markup(found[2]), anchor=anchor) if found else None


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    """A table with right-aligned numbers, floats with 3 decimals."""
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in header)
    body = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(_cell(value) for value in row)) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def named_values(values: Mapping[Any, Any]) -> Markup:
    """A table of two columns without a header: names and values."""
    rows = [Markup("<tr><th>{}</th>{}</tr>").format(name, _cell(value)) for name, value in values.items()]
    return Markup("<table><tbody>{}</tbody></table>").format(Markup("").join(rows))


def number_cells(*texts: str) -> list[Markup]:
    """Right-aligned cells of a table."""
    return [Markup('<div class="number">{}</div>').format(text) for text in texts]


def paragraphs(*sentences: str) -> Markup:
    """Plain text, one paragraph per argument."""
    return Markup("").join(Markup("<p>{}</p>").format(sentence) for sentence in sentences)


def bullets(*sentences: str) -> Markup:
    """Plain text, one bullet per argument."""
    items = Markup("").join(Markup("<li>{}</li>").format(sentence) for sentence in sentences)
    return Markup("<ul>{}</ul>").format(items)


def wide(content: Markup) -> Markup:
    """Content that scrolls sideways in a narrow window."""
    return Markup('<div class="wide">{}</div>').format(content)


def folded(title: Markup | str, content: Markup) -> Markup:
    """Content that is shown when its title is clicked."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, content)


def image(data: bytes, kind: str, alt: str) -> Markup:
    """An image file embedded in the page."""
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(alt, kind, base64.b64encode(data).decode())


def tiles(pictures: Sequence[tuple[Markup, Markup | str]]) -> Markup:
    """Small images side by side with captions."""
    figures = [Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(*picture) for picture in pictures]
    return Markup('<div class="tiles">{}</div>').format(Markup("").join(figures))


def blocks(named_tiles: Sequence[tuple[Markup | str, Markup]], is_wide: bool = False) -> Markup:
    """Rows of tiles with headings, two side by side if the window is wide enough.

    Args:
        named_tiles: Headings and tiles.
        is_wide: Whether tiles are twice as wide as high.
    """
    parts = Markup("").join(Markup("<div><h3>{}</h3>{}</div>").format(*one) for one in named_tiles)
    return Markup('<div class="blocks{}">{}</div>').format(" wider" if is_wide else "", parts)


def _cell(value: Any) -> Markup:
    if isinstance(value, Markup):
        return Markup("<td>{}</td>").format(value)
    if isinstance(value, float):
        return Markup('<td class="number">{}</td>').format(f"{value:.3f}")
    if isinstance(value, int):
        return Markup('<td class="number">{}</td>').format(f"{value:,}")
    return Markup("<td>{}</td>").format(value)
