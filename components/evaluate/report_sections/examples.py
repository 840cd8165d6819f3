"""Images of each class: found, missed, and a false alarm."""

from collections.abc import Iterable

from markupsafe import Markup

from components.evaluate.metrics import ClassScore
from components.evaluate.pictures import FALSE_ALARM, FOUND, MISSED
from components.evaluate.report_data import Picture, ReportData
from components.reports.page import EXAMPLES, Section, blocks, folded, image, tiles
from components.reports.stains import legend
from components.runtime.wording import count_of

_NUM_OPEN = 4
_KINDS = {FOUND: "yes", MISSED: "no", FALSE_ALARM: "no"}


def example_sections(data: ReportData) -> list[Section]:
    """Images of each class with the model's probabilities and activation maps. Those of the rarer classes are folded."""
    of_class: dict[int, list[Picture]] = {}
    for picture in data.pictures.pictures:
        of_class.setdefault(picture.label, []).append(picture)
    named = [
        (_heading(data.classes[label]), tiles([_tile(data, picture) for picture in pictures]))
        for label, pictures in of_class.items()
    ]
    is_wide = bool(data.pictures.map_size)
    first, others = blocks(named[:_NUM_OPEN], is_wide), named[_NUM_OPEN:]
    sections = [Section("Predicted images, right and wrong", first, _note(data), EXAMPLES)]
    if others:
        content = folded(count_of(len(others), "rarer class", "rarer classes"), blocks(others, is_wide))
        sections.append(Section("Predicted images of the other classes", content))
    return sections


def _note(data: ReportData) -> str:
    words = (
        f"{legend(data.trained.channels)} For each class, the clearest image of each kind: the found one and the false alarm "
        "with the highest probability (found: with all classes right, if possible), and the missed one with the lowest. The "
        "model predicts a class if its probability reaches the threshold. Errors are red."
    )
    if data.pictures.map_size:
        words += (
            " To the right of each image, over the stains in grey: the evidence for the class (class activation map, "
            f"{data.pictures.map_size} pixels, interpolated; one scale per class, so the map of a miss is pale)."
        )
    return words


def _heading(score: ClassScore) -> Markup:
    false_alarms = score.num_predicted - score.num_found
    return Markup('{} <span class="faint">{:,} of {:,} found, {:,} false alarms; threshold {:.3f}</span>').format(
        score.name, score.num_found, score.support, false_alarms, score.threshold
    )


def _tile(data: ReportData, picture: Picture) -> tuple[Markup, Markup]:
    row, label = picture.position, picture.label
    classes = range(len(data.class_names))
    shown = _names(data, [(k, bool(data.y_pred[row, k])) for k in classes if data.y_true[row, k]])
    answered = _names(data, [(k, bool(data.y_true[row, k])) for k in classes if data.y_pred[row, k]])
    caption = Markup('<span class="{}">{}</span>: {}<br>shows {}<br>model: {}').format(
        _KINDS[picture.kind], picture.kind.capitalize(), f"{data.y_score[row, label]:.3f}", shown, answered
    )
    return image(picture.jpeg, "jpeg", f"{data.ids[row]}: {data.class_names[label]}, {picture.kind}"), caption


def _names(data: ReportData, classes: Iterable[tuple[int, bool]]) -> Markup:
    """Classes by name, red where they are errors."""
    named = [
        Markup("{}" if is_right else '<span class="error">{}</span>').format(data.class_names[k]) for k, is_right in classes
    ]
    return Markup(", ").join(named) or Markup("nothing")
