from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.train.model import build_model
from components.train.reference import fit_reference, measure_reference, usual_distances

_NUM_NUMBERS = 40


def _correlated(num_images: int, seed: int) -> np.ndarray:
    """Numbers on very different scales, each correlated with its neighbours."""
    random = np.random.default_rng(seed)
    independent = random.normal(size=(num_images, _NUM_NUMBERS))
    return ((independent + 0.5 * np.roll(independent, 1, axis=1)) * np.geomspace(0.2, 5, _NUM_NUMBERS) + 5).astype(np.float32)


@pytest.mark.parametrize("num_images", [_NUM_NUMBERS // 2, 1000])
def test_training_like_images_have_distance_one_and_others_more(num_images: int) -> None:
    reference = fit_reference(_correlated(num_images, seed=0))
    usual = reference.distances(tf.constant(_correlated(500, seed=1))).numpy()
    assert 0.7 < np.median(usual) < 1.6
    shifted = reference.distances(tf.constant(_correlated(500, seed=1) * 1.5)).numpy()
    assert np.median(shifted) > np.quantile(usual, 0.99)


def test_distances_are_mahalanobis_with_many_images() -> None:
    numbers, others = _correlated(20_000, seed=0), _correlated(5, seed=1)
    offsets = others - numbers.mean(axis=0)
    expected = np.einsum("ij,jk,ik->i", offsets, np.linalg.inv(np.cov(numbers.T)), offsets) / _NUM_NUMBERS
    distances = fit_reference(numbers).distances(tf.constant(others)).numpy()
    assert np.allclose(distances, np.sqrt(expected), rtol=0.05)


def test_a_constant_number_does_not_give_infinite_distances() -> None:
    reference = fit_reference(np.c_[_correlated(100, seed=0), np.zeros((100, 2), np.float32)])
    assert np.isfinite(reference.distances(tf.ones((3, _NUM_NUMBERS + 2)))).all()


@pytest.mark.parametrize("rows", [[0], [0, 1], [0] * 5, [0, 0, 1, 1], [0, 1, 2]])
def test_few_or_equal_images_are_accepted(rows: list[int]) -> None:
    numbers = _correlated(3, seed=0)[rows]
    distances = fit_reference(numbers).distances(tf.constant(np.r_[numbers, numbers + 100])).numpy()
    assert np.isfinite(distances).all()
    assert distances[: len(rows)].max() < distances[len(rows) :].min()


@pytest.mark.parametrize(("num_validation", "is_known"), [(299, False), (300, True)])
def test_the_usual_distance_needs_300_validation_images(
    tmp_path: Path, publish_examples: Callable[..., Examples], num_validation: int, is_known: bool
) -> None:
    random = np.random.default_rng(0)

    def samples(split: str, count: int) -> list[list[tuple[str, np.ndarray, list[int]]]]:
        return [[(f"{split}{number}", random.integers(0, 200, (8, 8, 3), np.uint8), [0]) for number in range(count)]]

    shards = {"train": samples("t", 100), "validation": samples("v", num_validation)}
    examples = publish_examples(tmp_path / "examples", shards, ["a"])
    pixels = keras.Input((8, 8, 3))
    backbone = keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels))
    network = build_model(backbone, np.full(3, 100.0), np.full(3, 60.0), 1, dropout=0.0)
    with open_splits(examples, ["train", "validation"]) as splits:
        reference = measure_reference(network, splits["train"])
        usual = usual_distances({"float32": network}, reference, splits["validation"])
    assert list(usual) == (["float32"] if is_known else [])
    assert all(1 < distance < 3 for distance in usual.values())
