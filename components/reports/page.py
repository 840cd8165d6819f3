"""Self-contained HTML pages: the look that all reports share."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, a sentence on how to read it, and content. Links to it are `#<anchor>`."""

    title: str
    content: Markup
    note: str = ""
    anchor: str = ""


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Puts sections into a page that needs no other file and no network."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, subtitle=subtitle, sections=sections)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Markup:
    """A table whose numbers are right-aligned: floats with 3 decimals."""
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in header)
    body = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(_cell(value) for value in row)) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def image(data: bytes, kind: str, alt: str) -> Markup:
    """An image file's content inside the page."""
    return Markup('<img alt="{}" src="data:image/{};base64,{}">').format(alt, kind, base64.b64encode(data).decode())


def tiles(pictures: Sequence[tuple[Markup, str]]) -> Markup:
    """Small images side by side, each with its caption."""
    figures = [Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(*picture) for picture in pictures]
    return Markup('<div class="tiles">{}</div>').format(Markup("").join(figures))


def _cell(value: Any) -> Markup:
    if isinstance(value, Markup):
        return Markup("<td>{}</td>").format(value)
    if isinstance(value, float):
        return Markup('<td class="number">{}</td>').format(f"{value:.3f}")
    if isinstance(value, int):
        return Markup('<td class="number">{}</td>').format(f"{value:,}")
    return Markup("<td>{}</td>").format(value)
