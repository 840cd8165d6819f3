"""The views of an image that the exported model judges, symmetries and crops, and how their probabilities become one."""

import math
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from keras import ops

from components.train.recipes import Recipe


def probabilities(logits_of: Callable[[Any], Any], pixels: Any, recipe: Recipe) -> Any:
    """Judges images as a recipe says: the maximum over crops, averaged over symmetries.

    It consists of Keras's operations, so that it can be part of a graph of TensorFlow and of a model of Keras.

    Args:
        logits_of: From pixels to logits, of shape (batch, classes). It gets `pixels` itself for whole images as they are.
        pixels: float32 in [0, 255], of shape (batch, side, side, channels).
        recipe: Its `views`, `crop` and `crops`.

    Returns:
        float32 of shape (batch, classes).
    """
    of_views = []
    for number in range(recipe.views):
        of_crops = [ops.sigmoid(logits_of(crop)) for crop in cropped(symmetric(pixels, number), recipe)]
        of_views.append(reduce(ops.maximum, of_crops))
    return sum(of_views) / recipe.views


def cropped(pixels: Any, recipe: Recipe) -> list[Any]:
    """The recipe's crops of images, in rows and columns from edge to edge: four are the corners. One is the whole image."""
    if recipe.crops == 1:
        return [pixels]
    crop_px = recipe.crop_px(pixels.shape[1])
    starts = np.linspace(0, pixels.shape[1] - crop_px, math.isqrt(recipe.crops)).astype(int).tolist()
    return [pixels[:, row : row + crop_px, column : column + crop_px] for row, column in product(starts, starts)]


def symmetric(pixels: Any, number: int) -> Any:
    """One of the 8 symmetries of square images, of shape (batch, height, width, channels): 0 leaves them as they are."""
    turned = ops.flip(pixels, 2) if number >= 4 else pixels
    for _ in range(number % 4):
        turned = ops.flip(ops.transpose(turned, (0, 2, 1, 3)), 1)
    return turned
