from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from components.train.recipes import RECIPES, Recipe
from components.train.views import cropped, probabilities

WHOLE = RECIPES["paper"]


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(-3, 3, (2, 16, 16, 3)).astype(np.float32)


def _answer(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """The logits of a network that averages the left half, which depend on position and orientation."""

    def logits_of(images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(images[:, :, : images.shape[2] // 2], axis=(1, 2))

    answer: np.ndarray = probabilities(logits_of, tf.constant(pixels), recipe).numpy()
    return answer


def test_four_crops_are_the_corners() -> None:
    pixels = _pixels()
    found = cropped(tf.constant(pixels), replace(WHOLE, crop=0.75, crops=4))
    corners = [pixels[:, rows, columns] for rows in (slice(12), slice(4, 16)) for columns in (slice(12), slice(4, 16))]
    assert all(np.array_equal(crop, corner) for crop, corner in zip(found, corners, strict=True))


def test_nine_crops_have_one_in_the_middle() -> None:
    pixels = _pixels()
    found = cropped(tf.constant(pixels), replace(WHOLE, crop=0.5, crops=9))
    assert len(found) == 9
    assert np.array_equal(found[4], pixels[:, 4:12, 4:12])


def test_the_largest_probability_of_any_crop_counts() -> None:
    pixels = np.zeros((1, 16, 16, 1), np.float32)
    pixels[:, :4, 12:] = 9  # in the top right corner alone
    ones = _answer(pixels[:, :, ::-1], replace(WHOLE, crop=0.5, crops=4))
    assert ones.item() == pytest.approx(1 / (1 + np.exp(-9 * 16 / 32)))
    assert _answer(pixels, WHOLE).item() == 0.5


@pytest.mark.parametrize("crops", [1, 4])
def test_views_make_answers_independent_of_the_orientation(crops: int) -> None:
    pixels, recipe = _pixels(), replace(WHOLE, crop=0.75, crops=crops, views=8)
    expected = _answer(pixels, recipe)
    for turned in (np.rot90(pixels, axes=(1, 2)), pixels[:, ::-1], pixels[:, :, ::-1]):
        assert np.allclose(_answer(turned.copy(), recipe), expected, atol=1e-6)
    assert not np.allclose(_answer(pixels, replace(recipe, views=1)), expected, atol=1e-3)
