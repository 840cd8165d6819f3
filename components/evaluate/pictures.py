"""The best and the worst images of each class: which, and how they are drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.artifacts.examples import ExampleReader
from components.evaluate.inference import ExportedModel
from components.evaluate.metrics import Scores
from components.evaluate.report_data import Picture, Pictures
from components.reports.stains import composite, stain_colours

# Of the images that show a class, the one with the highest probability and the one with the lowest; of the others, the highest.
BEST, WORST, OTHER = "best", "worst", "other"

_SIDE_PX = 200
_MAX_PICTURES = 96
# The first quality that keeps a picture small: noise does not compress, and the page is to stay below 10 MB.
_JPEG_QUALITIES = (85, 60, 20)
_MAX_BYTES = 50_000
# Of the activation map on grey stains: orange, as no stain is.
_HEAT = np.array([255, 140, 0], np.float32)
_HEAT_OPACITY = 0.7


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


def draw(pixels: np.ndarray, heat: np.ndarray | None) -> np.ndarray:
    """Draws an image, and beside it its stains in grey under a map.

    Args:
        pixels: uint8, shape (height, width, 3): red, green and blue.
        heat: float, shape (map height, map width): 1 is the warmest, 0 and below is cold. None draws the image alone.

    Returns:
        uint8, shape (side, side or twice the side, 3).
    """
    side = (_SIDE_PX, _SIDE_PX)
    method = "area" if pixels.shape[0] > _SIDE_PX else "bilinear"
    colours = tf.image.resize(pixels.astype(np.float32), side, method=method).numpy()
    if heat is None:
        return colours.round().astype(np.uint8)
    grey = colours.max(axis=2, keepdims=True) * np.ones(3, np.float32)
    smooth = tf.image.resize(np.clip(heat, 0, 1)[:, :, None], side, method="bilinear").numpy()
    opacity = _HEAT_OPACITY * smooth
    return np.hstack([colours, grey * (1 - opacity) + _HEAT * opacity]).round().astype(np.uint8)


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """Encodes a picture in at most 50 KB, or a little more where it is noise."""
    for quality in _JPEG_QUALITIES:
        # Full colour resolution: to halve it, as JPEG files mostly do, would blur whatever is red or blue.
        data = tf.io.encode_jpeg(pixels, quality=quality, chroma_downsampling=False).numpy()
        if len(data) <= _MAX_BYTES:
            break
    return bytes(data)
