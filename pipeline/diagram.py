"""The picture of a compiled pipeline: its steps from left to right, and which artifacts go from one to another, as SVG."""

from collections import defaultdict
from html import escape
from pathlib import Path

import yaml

from pipeline.compiled import PIPELINE_YAML, load_steps, step_tasks

_BOX_WIDTH, _BOX_HEIGHT, _GAP, _MARGIN, _LINE = 112, 48, 118, 16, 15
_INK, _SOFT, _FILL, _PAPER = "#1f2a44", "#5b6478", "#e8eefc", "#ffffff"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


def draw_pipeline(path: Path = PIPELINE_YAML) -> str:
    """Draws a compiled pipeline. The same file gives the same picture.

    Steps that follow each other are joined by a straight arrow, others by one that bends round those between, alternately above
    and below. Under each step stand its outputs that no other step takes: reports, metrics, and what leaves the pipeline.
    """
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    steps = load_steps(path)
    joins = _joins(spec, steps)
    bends = [join for join in joins if steps.index(join[1]) - steps.index(join[0]) > 1]
    room = {side: 26 + 34 * len(bends[side::2]) for side in (0, 1) if bends[side::2]}
    left_over = {step: _left_over(spec, step, joins) for step in steps}
    top = _MARGIN + room.get(0, 0)
    bottom = top + _BOX_HEIGHT
    listed = bottom + max(room.get(1, 0) - 6, 6)
    height = listed + _LINE * max(map(len, left_over.values())) + _MARGIN
    width = 2 * _MARGIN + len(steps) * _BOX_WIDTH + (len(steps) - 1) * _GAP
    left = {step: _MARGIN + number * (_BOX_WIDTH + _GAP) for number, step in enumerate(steps)}
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' {_FONT} font-size='12'>",
        f"<title>{escape(', '.join(steps))}: the steps of the pipeline and the artifacts between them</title>",
        "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        f"<path d='M0 0 8 4 0 8z' fill='{_SOFT}'/></marker></defs>",
        f"<rect width='{width}' height='{height}' rx='10' fill='{_PAPER}'/>",
    ]
    for join, artifacts in joins.items():
        start, end = left[join[0]] + _BOX_WIDTH, left[join[1]]
        if join in bends:
            number = bends.index(join)
            parts += _bend(start - _BOX_WIDTH / 3, end + _BOX_WIDTH / 3, (top, bottom)[number % 2], number, artifacts)
        else:
            middle = top + _BOX_HEIGHT / 2
            parts.append(_path(f"M{start} {middle}H{end}"))
            lines = [middle - 6, *(middle + _LINE * number for number in range(1, len(artifacts)))]
            parts += [_text((start + end) / 2, y, name) for y, name in zip(lines, artifacts, strict=True)]
    for step, x in left.items():
        parts.append(
            f"<rect x='{x}' y='{top}' width='{_BOX_WIDTH}' height='{_BOX_HEIGHT}' rx='8' fill='{_FILL}' stroke='{_INK}'/>"
        )
        middle, gpu = x + _BOX_WIDTH / 2, _accelerator(spec, step)
        parts.append(_text(middle, top + (22 if gpu else 29), step, f"fill='{_INK}' font-weight='600' font-size='15'"))
        parts += [_text(middle, top + 39, gpu)] if gpu else []
        parts += [_text(middle, listed + _LINE * number, name) for number, name in enumerate(left_over[step], 1)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _joins(spec: dict, steps: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:  # type: ignore[type-arg]
    """The artifacts that go from one step to another, by the two steps."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for step in steps:
        for value in step_tasks(spec)[step].get("inputs", {}).get("artifacts", {}).values():
            if output := value.get("taskOutputArtifact"):
                found[output["producerTask"], step].append(output["outputArtifactKey"])
    return {join: sorted(found[join]) for join in sorted(found, key=lambda join: tuple(map(steps.index, join)))}


def _left_over(spec: dict, step: str, joins: dict[tuple[str, str], list[str]]) -> list[str]:  # type: ignore[type-arg]
    taken = {name for (producer, _), names in joins.items() if producer == step for name in names}
    outputs = (
        spec["components"][step_tasks(spec)[step]["componentRef"]["name"]].get("outputDefinitions", {}).get("artifacts", {})
    )
    return sorted(set(outputs) - taken)


def _accelerator(spec: dict, step: str) -> str:  # type: ignore[type-arg]
    """What a step asks for beside processors, as it is shown."""
    label = spec["components"][step_tasks(spec)[step]["componentRef"]["name"]]["executorLabel"]
    wanted = spec["deploymentSpec"]["executors"][label]["container"].get("resources", {}).get("accelerator", {})
    count, kind = (wanted.get(f"resource{name}", wanted.get(name.lower(), "")) for name in ("Count", "Type"))
    return f"{count} x {str(kind).rpartition('/')[2]}" if count else ""


def _bend(start: float, end: float, edge: int, number: int, artifacts: list[str]) -> list[str]:
    up = -1 if number % 2 == 0 else 1
    reach = edge + up * (30 + 34 * (number // 2))
    text_at = reach + (-5 if up < 0 else 15)
    turn = reach - up * 10
    path = (
        f"M{start:g} {edge}V{turn}Q{start:g} {reach} {start + 10:g} {reach}H{end - 10:g}Q{end:g} {reach} {end:g} {turn}V{edge}"
    )
    return [_path(path), _text((start + end) / 2, text_at, ", ".join(artifacts))]


def _path(path: str) -> str:
    return f"<path d='{path}' fill='none' stroke='{_SOFT}' stroke-width='1.4' marker-end='url(#head)'/>"


def _text(x: float, y: float, text: str, style: str = f"fill='{_SOFT}'") -> str:
    return f"<text x='{x:g}' y='{y:g}' text-anchor='middle' {style}>{escape(text)}</text>"
