"""Dots, droplets and rings, stamped onto a dark image many at a time."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from components.synthetic.camera import SIDE_PX
from components.synthetic.polar import REACH_PX, Ints, distances

Light = NDArray[np.uint8]

PAD_PX = 24
_WIDTH = SIDE_PX + 2 * PAD_PX


@cache
def _disc(radius: int, hollow: int) -> tuple[Ints, NDArray[np.uint8]]:
    """The offsets and values of a soft-edged disc's pixels. Radii are in eighths of a pixel, `hollow` for a dark centre."""
    size = min(PAD_PX, radius // 8 + 2)
    square = slice(REACH_PX - size, REACH_PX + size + 1)
    away = distances()[square, square].astype(np.int64)
    value = np.clip((radius + 4 - away) * 32, 0, 255)
    if hollow:
        value = np.minimum(value, np.clip((away - hollow + 4) * 32, 0, 255))
    down, right = np.nonzero(value)
    return (down - size) * _WIDTH + (right - size), value[down, right].astype(np.uint8)


class Spots:
    """A dark image onto which spots are stamped. Where they overlap, the brighter one is visible."""

    def __init__(self) -> None:
        self._canvas = np.zeros(_WIDTH * _WIDTH, np.uint8)

    def stamp(self, x: Ints, y: Ints, radius: Ints, level: Ints, hollow_percent: int = 0) -> "Spots":
        """Adds spots.

        Args:
            x: Centres in pixels from the left; those outside the image are skipped.
            y: The same from the top.
            radius: In eighths of a pixel, 160 at most.
            level: Brightness, 0 to 255.
            hollow_percent: Share of the radius that stays dark: above 0, spots are rings.
        """
        seen = (x >= -PAD_PX // 2) & (x < SIDE_PX + PAD_PX // 2) & (y >= -PAD_PX // 2) & (y < SIDE_PX + PAD_PX // 2)
        place = (y + PAD_PX) * _WIDTH + x + PAD_PX
        # Radii in steps of half a pixel, with one pass for each.
        steps = np.minimum(np.broadcast_to(radius, x.shape), 88) // 4 * 4
        levels = np.broadcast_to(level, x.shape)
        for size in np.unique(steps[seen]):
            chosen = seen & (steps == size)
            offsets, values = _disc(int(size), int(size) * hollow_percent // 100)
            index = place[chosen][:, None] + offsets
            light = (levels[chosen][:, None] * values // 255).astype(np.uint8)
            np.maximum.at(self._canvas, index.ravel(), light.ravel())
        return self

    def light(self) -> Light:
        """The image."""
        return self._canvas.reshape(_WIDTH, _WIDTH)[PAD_PX : PAD_PX + SIDE_PX, PAD_PX : PAD_PX + SIDE_PX]
