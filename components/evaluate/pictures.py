"""Example images of each class: one that was found, one that was missed, and a false alarm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.artifacts.examples import ExampleReader
from components.evaluate.inference import LoadedModel
from components.evaluate.metrics import Scores
from components.evaluate.report_data import Picture, Pictures
from components.reports.pictures import draw, encode_jpeg
from components.reports.stains import composite, stain_colours

FOUND, MISSED, FALSE_ALARM = "found", "missed", "false alarm"

_MAX_PICTURES = 96


@dataclass(frozen=True)
class Choice:
    """A sample to show for a class, by its position in the split."""

    label: int
    kind: str
    position: int


def choose_pictures(y_true: np.ndarray, y_score: np.ndarray, y_pred: np.ndarray) -> list[Choice]:
    """The clearest example of each kind: found and false alarm with the highest probability, missed with the lowest.

    The found image has all its classes right, if the split has such an image.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        y_pred: bool, the same shape.

    Returns:
        Up to three for each class, the class with the most images first: at most 96 pictures in total.
    """
    chosen = []
    is_right = (y_true == y_pred).all(axis=1, keepdims=True)
    kinds = {
        FOUND: (y_true & y_pred, ~is_right - y_score),
        MISSED: (y_true & ~y_pred, y_score),
        FALSE_ALARM: (y_pred & ~y_true, -y_score),
    }
    for label in np.argsort(-y_true.sum(axis=0), kind="stable")[: _MAX_PICTURES // len(kinds)].tolist():
        for kind, (cells, order) in kinds.items():
            positions = np.flatnonzero(cells[:, label])
            if len(positions):
                chosen.append(Choice(label, kind, int(positions[np.argmin(order[positions, label])])))
    return chosen


def draw_pictures(
    model: LoadedModel, examples: ExampleReader, judged: Scores, thresholds: np.ndarray, widths_um: Mapping[str, float]
) -> Pictures:
    """Draws the chosen images of a split, with activation maps if the model's maps have more than one pixel.

    Args:
        model: The model.
        examples: The split.
        judged: The model's scores of it.
        thresholds: Shape (classes,).
        widths_um: The width of the images in micrometres by sample id, if it is known, for scale bars.
    """
    chosen = choose_pictures(judged.y_true, judged.y_score, judged.y_score >= thresholds)
    if not chosen:
        return Pictures([], "")
    positions = sorted({choice.position for choice in chosen})
    pixels = {position: examples.pixels(position) for position in positions}
    colours = stain_colours(examples.channels)

    def picture(choice: Choice, heat: np.ndarray | None) -> Picture:
        drawn = draw(composite(pixels[choice.position], colours), heat, widths_um.get(examples.ids[choice.position]))
        return Picture(choice.label, choice.kind, choice.position, encode_jpeg(drawn))

    maps = model.activation_maps(np.stack([pixels[position] for position in positions]))
    if maps is None or maps.shape[1] * maps.shape[2] == 1:  # for small images, maps have a single pixel: nothing to see
        return Pictures([picture(choice, None) for choice in chosen], "")
    rows = {position: row for row, position in enumerate(positions)}
    # One scale per class: the map of a miss is pale compared with that of a found image.
    heats = [(choice, maps[rows[choice.position], :, :, choice.label]) for choice in chosen]
    heights: dict[int, float] = {}
    for choice, heat in heats:
        heights[choice.label] = max(heights.get(choice.label, 1e-6), float(heat.max()))
    drawn = [picture(choice, heat / heights[choice.label]) for choice, heat in heats]
    return Pictures(drawn, f"{maps.shape[1]} x {maps.shape[2]}")
