"""The best and the worst images of each class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.artifacts.examples import ExampleReader
from components.evaluate.inference import ExportedModel
from components.evaluate.metrics import Scores
from components.evaluate.report_data import Picture, Pictures
from components.reports.pictures import draw, encode_jpeg
from components.reports.stains import composite, stain_colours

# Of the images that show a class, the one with the highest probability and the one with the lowest; of the others, the highest.
BEST, WORST, OTHER = "best", "worst", "other"

_MAX_PICTURES = 96


@dataclass(frozen=True)
class Choice:
    """A sample to show for a class, by its position in the split."""

    label: int
    kind: str
    position: int


def choose_pictures(y_true: np.ndarray, y_score: np.ndarray) -> list[Choice]:
    """For each class: the most probable image that shows it, the least probable one, and the most probable that does not.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
    """
    chosen = []
    for label in range(min(y_true.shape[1], _MAX_PICTURES // 3)):
        shown, others = np.flatnonzero(y_true[:, label]), np.flatnonzero(~y_true[:, label])
        if len(shown):
            chosen.append(Choice(label, BEST, int(shown[np.argmax(y_score[shown, label])])))
        if len(shown) > 1:
            chosen.append(Choice(label, WORST, int(shown[np.argmin(y_score[shown, label])])))
        if len(others):
            chosen.append(Choice(label, OTHER, int(others[np.argmax(y_score[others, label])])))
    return chosen


def draw_pictures(model: ExportedModel, examples: ExampleReader, judged: Scores) -> Pictures:
    """Draws the chosen images of a split, with activation maps where the model gives maps of more than one place."""
    chosen = choose_pictures(judged.y_true, judged.y_score)
    if not chosen:
        return Pictures([], "")
    positions = sorted({choice.position for choice in chosen})
    pixels = {position: examples.pixels(position) for position in positions}
    colours = stain_colours(examples.channels)
    pictures = {position: composite(image, colours) for position, image in pixels.items()}
    maps = model.activation_maps(np.stack([pixels[position] for position in positions]))
    if maps is None or maps.shape[1] * maps.shape[2] == 1:  # small images leave the network one place: nothing to see
        return Pictures([_picture(choice, pictures[choice.position], None) for choice in chosen], "")
    rows = {position: row for row, position in enumerate(positions)}
    # One scale for a class: the map of a miss is pale beside that of what was found.
    heights = {label: max(float(maps[rows[c.position], :, :, c.label].max()) for c in of) for label, of in _by_label(chosen)}
    drawn = [
        _picture(c, pictures[c.position], maps[rows[c.position], :, :, c.label] / max(heights[c.label], 1e-6)) for c in chosen
    ]
    return Pictures(drawn, f"{maps.shape[1]} x {maps.shape[2]}")


def _by_label(chosen: Sequence[Choice]) -> Iterable[tuple[int, list[Choice]]]:
    return [(label, [c for c in chosen if c.label == label]) for label in {c.label for c in chosen}]


def _picture(choice: Choice, pixels: np.ndarray, heat: np.ndarray | None) -> Picture:
    return Picture(choice.label, choice.kind, choice.position, encode_jpeg(draw(pixels, heat)))
