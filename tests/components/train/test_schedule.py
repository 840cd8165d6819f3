from dataclasses import replace

import numpy as np
import pytest

from components.train.recipes import RECIPES
from components.train.schedule import learning_rate

RECIPE = replace(RECIPES["paper"], epochs=10, learning_rate=0.1, patience=6)


def test_the_paper_keeps_its_learning_rate() -> None:
    assert {learning_rate(RECIPE, epoch, [0.5] * 9) for epoch in (0.0, 3.3, 9.9)} == {0.1}


def test_a_cosine_schedule_warms_up_and_falls_to_0() -> None:
    rates = [learning_rate(replace(RECIPE, schedule="cosine"), epoch, []) for epoch in np.linspace(0, 10, 101)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1)
    top = rates.index(max(rates))
    assert top == 5
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("losses", "factor"),
    [
        ([], 1.0),
        ([0.5, 0.4, 0.3], 1.0),
        ([0.5, 0.6, 0.6], 0.3),  # two epochs without a better one: a third of the patience
        ([0.5, 0.6, 0.4, 0.6], 1.0),
        ([0.5, 0.6, 0.6, 0.6, 0.6], 0.09),
        ([0.5, 0.6, 0.6, 0.4, 0.3], 0.3),
    ],
)
def test_a_plateau_reduces_the_learning_rate(losses: list[float], factor: float) -> None:
    assert learning_rate(replace(RECIPE, schedule="plateau"), 5.0, losses) == pytest.approx(0.1 * factor)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected constant, cosine or plateau\. Received: step"):
        learning_rate(replace(RECIPE, schedule="step"), 0.0, [])
