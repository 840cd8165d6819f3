"""How the learning rate goes: a function of the position in training and of the curves so far, so it has no state to save."""

import math
from collections.abc import Sequence

from components.train.recipes import Recipe

# The share of all steps over which a cosine schedule first rises.
_RISE = 0.05
# What a plateau costs: this factor, when the validation loss has not become better for a third of the patience.
_PLATEAU_FACTOR = 0.3


def learning_rate(recipe: Recipe, epoch: float, val_losses: Sequence[float]) -> float:
    """The learning rate of a step.

    Args:
        recipe: Its schedule and its learning rate.
        epoch: How many epochs are done, with the part of the present one.
        val_losses: The validation loss after each epoch so far.

    Raises:
        ValueError: If the recipe's schedule is none of these.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "cosine":
        return recipe.learning_rate * _cosine(epoch / recipe.epochs)
    if recipe.schedule == "plateau":
        return recipe.learning_rate * _PLATEAU_FACTOR ** _num_plateaus(val_losses, max(1, recipe.patience // 3))
    raise ValueError(f"schedule: expected constant, cosine or plateau. Received: {recipe.schedule}")


def _cosine(done: float) -> float:
    """From near 0 up to 1, and down to 0 (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts)."""
    if done < _RISE:
        return 0.1 + 0.9 * done / _RISE
    return 0.5 * (1 + math.cos(math.pi * (done - _RISE) / (1 - _RISE)))


def _num_plateaus(losses: Sequence[float], patience: int) -> int:
    plateaus, best, waited = 0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
