"""Grain, mottle and mesh: the textures of cells, made once per process. Each sample gets other pieces of them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from components.synthetic.camera import SIDE_PX
from components.synthetic.draws import Draws

Light = NDArray[np.uint8]

ATLAS_PX = 1024
_TEXTURE_STREAM = 4
# (radius of the blur in pixels, number of passes). With integer radii, Pillow's box blur uses integer arithmetic.
_BLURS = {"grain": (1, 1), "specks": (2, 2), "mottle": (3, 2), "cloud": (14, 2), "mesh": (2, 2), "lace": (1, 2)}
_RIDGED = ("mesh", "lace")


@cache
def _atlas(name: str) -> Light:
    radius, times = _BLURS[name]
    key = list(_BLURS).index(name)
    grain = Draws(_TEXTURE_STREAM, key).noise(ATLAS_PX * ATLAS_PX).reshape(ATLAS_PX, ATLAS_PX)
    # Without `equalize` after each blur, the range would shrink to a few grey levels.
    image = Image.fromarray(grain)
    for _ in range(times):
        image = ImageOps.equalize(image.filter(ImageFilter.BoxBlur(radius)))
    values = np.asarray(image)
    if name in _RIDGED:
        # Bright where the smooth field crosses its median: a net of thin walls, like the reticulum.
        values = np.asarray(255 - 2 * np.abs(values.astype(np.int16) - 128).clip(0, 127), np.uint8)
    values.setflags(write=False)
    return values


def texture(name: str, draws: Draws, origin: tuple[int, int]) -> Light:
    """A piece of a texture of the image's size, with about equally frequent values from 0 to 255.

    Args:
        name: grain, specks, mottle, cloud, mesh or lace.
        draws: The random draws of the piece and its orientation.
        origin: The shift of the image over the scene, which the texture follows.
    """
    atlas = _atlas(name)
    slack = (ATLAS_PX - SIDE_PX) // 2
    left, top = draws.between(slack // 2, slack + slack // 2), draws.between(slack // 2, slack + slack // 2)
    if draws.chance(50):
        atlas = atlas.T
    left, top = left - origin[0], top - origin[1]
    return atlas[top : top + SIDE_PX, left : left + SIDE_PX]
