"""The best and the worst image of each class."""

from collections.abc import Sequence

from markupsafe import Markup

from components.evaluate.pictures import BEST, OTHER, WORST
from components.evaluate.report_data import Picture, ReportData
from components.reports.page import Section, image
from components.reports.stains import legend
from components.runtime.wording import count_of

_KINDS = {BEST: "shows it, most probable", WORST: "shows it, least probable", OTHER: "does not show it, most probable"}
_NUM_OTHER_SCORES = 3
_ROW = "display:flex;flex-wrap:wrap;gap:.9rem"
# Two classes side by side; with activation maps, whose tiles are twice as wide, one.
_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(min({},100%),1fr));gap:1.2rem 1.5rem;margin-top:1rem"


def images_section(data: ReportData) -> Section:
    """Images of each class with the network's scores and where it looked."""
    of_class: dict[int, list[Picture]] = {}
    for picture in data.pictures.pictures:
        of_class.setdefault(picture.label, []).append(picture)
    blocks = [_block(data, label, pictures) for label, pictures in of_class.items()]
    width = "58rem" if data.pictures.map_size else "29rem"
    content = Markup('<div style="{}">{}</div>').format(_GRID.format(width), Markup("").join(blocks))
    return Section("The best and the worst images of each class", content, _note(data.trained.channels, data.pictures.map_size))


def _note(channels: Sequence[str], map_size: str) -> str:
    captions = (
        "Below each: the probability of the class beside its threshold, what was answered, what the image shows (missed "
        "classes in red), and what else is most probable. "
    )
    if map_size:
        maps = (
            f"Right of it, on the stains in grey: where the evidence for the class comes from (class activation map, "
            f"{map_size} places drawn smoothly; one scale for a class, so the map of a miss is pale)."
        )
    else:
        maps = "There are no activation maps: the model gives none, or its maps have a single place at this image size."
    return f"{legend(channels)} {captions}{maps}"


def _block(data: ReportData, label: int, pictures: Sequence[Picture]) -> Markup:
    score = data.classes[label]
    shown = f"F1 {score.f1:.3f}, shown by {count_of(score.support, 'image')}" if score.support else "shown by no image"
    figures = Markup("").join(_figure(data, picture) for picture in pictures)
    return Markup(
        '<div><h3 style="margin:0 0 .35rem;font-size:.95rem">{} <span style="font-weight:400;color:var(--faint)">{}</span></h3>'
        '<div style="{}">{}</div></div>'
    ).format(score.name, shown, _ROW, figures)


def _figure(data: ReportData, picture: Picture) -> Markup:
    width_px = 300 if data.pictures.map_size else 150
    alt = f"{data.ids[picture.position]}: {_KINDS[picture.kind]}"
    drawn = Markup('<div style="width:{}px;max-width:100%">{}</div>').format(width_px, image(picture.jpeg, "jpeg", alt))
    return Markup('<figure style="margin:0;width:{}px;max-width:100%">{}<figcaption>{}</figcaption></figure>').format(
        width_px, drawn, _caption(data, picture)
    )


def _caption(data: ReportData, picture: Picture) -> Markup:
    row, label = picture.position, picture.label
    answered = bool(data.y_pred[row, label])
    words = {(True, True): "found", (True, False): "missed", (False, True): "false alarm", (False, False): "rightly no"}
    verdict = words[bool(data.y_true[row, label]), answered]
    kind = "yes" if verdict in ("found", "rightly no") else "no"
    return Markup('{}: <b>{}</b> (threshold {}), <span class="{}">{}</span><br>shows {}{}').format(
        _KINDS[picture.kind],
        f"{data.y_score[row, label]:.3f}",
        f"{data.classes[label].threshold:.3f}",
        kind,
        verdict,
        _shown(data, row),
        _others(data, row, label),
    )


def _shown(data: ReportData, row: int) -> Markup:
    names = [
        Markup('<span style="color:{}">{}</span>').format(
            "inherit" if data.y_pred[row, k] else "var(--no)", data.class_names[k]
        )
        for k in range(len(data.class_names))
        if data.y_true[row, k]
    ]
    return Markup(", ").join(names) or Markup("no class")


def _others(data: ReportData, row: int, label: int) -> Markup:
    order = [int(k) for k in (-data.y_score[row]).argsort(kind="stable") if k != label][:_NUM_OTHER_SCORES]
    listed = ", ".join(f"{data.class_names[k]} {data.y_score[row, k]:.2f}" for k in order)
    return Markup("<br><span style='color:var(--faint)'>{}</span>").format(listed)
