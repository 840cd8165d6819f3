"""Test-time augmentation in the exported model: symmetries and crops of an image, and how probabilities are combined."""

import math
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
from keras import ops

from components.train.recipes import Recipe


def probabilities(logits_of: Callable[[Any], Any], pixels: Any, recipe: Recipe) -> Any:
    """Computes probabilities by a recipe: the maximum over crops, averaged over symmetries.

    It uses only Keras operations, so that it can be part of a TensorFlow graph and of a Keras model.

    Args:
        logits_of: From pixels to logits, of shape (batch, classes). For unchanged whole images it gets `pixels` itself.
        pixels: float32 in [0, 255], of shape (batch, side, side, channels).
        recipe: Gives `views`, `crop` and `crops`.

    Returns:
        float32 of shape (batch, classes).
    """
    of_views = []
    for number in range(recipe.views):
        of_crops = [ops.sigmoid(logits_of(crop)) for crop in cropped(symmetric(pixels, number), recipe)]
        of_views.append(reduce(ops.maximum, of_crops))
    return sum(of_views) / recipe.views


def cropped(pixels: Any, recipe: Recipe) -> list[Any]:
    """The recipe's crops of images, on a grid from edge to edge: four are the corners, a single one is the whole image."""
    if recipe.crops == 1:
        return [pixels]
    crop_px = recipe.crop_px(pixels.shape[1])
    starts = np.linspace(0, pixels.shape[1] - crop_px, math.isqrt(recipe.crops)).astype(int).tolist()
    return [pixels[:, row : row + crop_px, column : column + crop_px] for row, column in product(starts, starts)]


def symmetric(pixels: Any, number: int) -> Any:
    """One of the 8 symmetries of square images of shape (batch, height, width, channels); 0 is the identity."""
    turned = ops.flip(pixels, 2) if number >= 4 else pixels
    for _ in range(number % 4):
        turned = ops.flip(ops.transpose(turned, (0, 2, 1, 3)), 1)
    return turned
