import keras
import numpy as np
import pytest

from components.train.losses import LOSSES, binary_cross_entropy, focal, smooth
from components.train.recipes import RECIPES

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
LOGITS = np.array([[2.0, -1.0, 0.3], [-0.5, 0.1, -3.0], [60.0, -60.0, 0.0]], np.float32)


def _probabilities() -> np.ndarray:
    return 1 / (1 + np.exp(-LOGITS.astype(np.float64)))


def test_cross_entropy_equals_keras() -> None:
    expected = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)(LABELS, LOGITS)
    assert np.allclose(binary_cross_entropy(LABELS, LOGITS), expected)


def test_focal_loss_is_weighted_cross_entropy() -> None:
    expected = keras.losses.BinaryFocalCrossentropy(from_logits=True, gamma=2.0, reduction=None)(LABELS, LOGITS)
    assert np.allclose(focal(LABELS, LOGITS), expected, rtol=1e-4)


def test_soft_f1_counts_only_classes_in_the_batch() -> None:
    probabilities = _probabilities()
    f1 = 2 * (LABELS * probabilities).sum(axis=0) / (LABELS + probabilities).sum(axis=0)
    expected = np.asarray(binary_cross_entropy(LABELS, LOGITS)) + 1 - f1[:2].mean()
    assert np.allclose(LOSSES["bce_soft_f1"](LABELS, LOGITS), expected, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_small_for_right_answers_and_large_for_wrong_ones(name: str) -> None:
    right = (LABELS * 2 - 1) * 30
    assert np.asarray(LOSSES[name](LABELS, right)).max() < 1e-3
    assert np.asarray(LOSSES[name](LABELS, -right)).min() > 1
    assert np.isfinite(LOSSES[name](np.zeros_like(LABELS), LOGITS)).all()


def test_smoothed_labels_are_closer_to_one_half() -> None:
    assert np.allclose(smooth(LABELS[0], 0.1), [0.95, 0.05, 0.05])
    assert np.array_equal(smooth(LABELS, 0.0), LABELS)


def test_every_recipe_has_an_existing_loss() -> None:
    assert {recipe.loss for recipe in RECIPES.values()} <= LOSSES.keys()
