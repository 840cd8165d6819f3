"""Learning rate schedules: stateless functions of the position in training and of the curves so far."""

import math
from collections.abc import Sequence

from components.train.recipes import Recipe

# The share of all steps in which a cosine schedule rises.
_RISE = 0.05
# The factor at a plateau: when the validation loss has not improved for a third of the patience.
_PLATEAU_FACTOR = 0.3


def learning_rate(recipe: Recipe, epoch: float, val_losses: Sequence[float]) -> float:
    """The learning rate of a step.

    Args:
        recipe: Gives the schedule and the learning rate.
        epoch: The number of epochs done, including the fraction of the current one.
        val_losses: The validation loss after each epoch so far.

    Raises:
        ValueError: If the recipe's schedule is unknown.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "cosine":
        return recipe.learning_rate * _cosine(epoch / recipe.epochs)
    if recipe.schedule == "plateau":
        return recipe.learning_rate * _PLATEAU_FACTOR ** _num_plateaus(val_losses, max(1, recipe.patience // 3))
    raise ValueError(f"schedule: expected constant, cosine or plateau. Received: {recipe.schedule}")


def _cosine(done: float) -> float:
    """Rises from 0.1 to 1, then falls to 0 (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts)."""
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
