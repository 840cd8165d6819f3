from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.examples import open_splits
from components.artifacts.manifest import Examples
from components.train.model import build_model
from components.train.reference import fit_reference, fit_spread, measure_reference, texture

_NUM_NUMBERS = 40


def _correlated(num_images: int, seed: int) -> np.ndarray:
    """Numbers on very different scales, each correlated with its neighbours."""
    random = np.random.default_rng(seed)
    independent = random.normal(size=(num_images, _NUM_NUMBERS))
    return ((independent + 0.5 * np.roll(independent, 1, axis=1)) * np.geomspace(0.2, 5, _NUM_NUMBERS) + 5).astype(np.float32)


@pytest.mark.parametrize("num_images", [_NUM_NUMBERS // 2, 1000])
def test_ninety_nine_percent_of_similar_images_have_distances_below_one(num_images: int) -> None:
    spread = fit_spread(_correlated(num_images, seed=0), _correlated(2000, seed=1))
    assert np.mean(spread.distances(tf.constant(_correlated(2000, seed=2))) <= 1) == pytest.approx(0.99, abs=0.01)
    assert np.median(spread.distances(tf.constant(_correlated(500, seed=1) * 1.5))) > 1


def test_distances_are_mahalanobis_with_many_images() -> None:
    numbers, others = _correlated(20_000, seed=0), _correlated(5, seed=1)
    offsets = others - numbers.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", offsets, np.linalg.inv(np.cov(numbers.T)), offsets))
    distances = fit_spread(numbers, numbers).distances(tf.constant(others)).numpy()
    assert np.allclose(distances / distances[0], expected / expected[0], rtol=0.05)


def test_a_constant_feature_does_not_give_infinite_distances() -> None:
    numbers = np.c_[_correlated(100, seed=0), np.zeros((100, 2), np.float32)]
    assert np.isfinite(fit_spread(numbers, numbers).distances(tf.ones((3, _NUM_NUMBERS + 2)))).all()


@pytest.mark.parametrize("rows", [[0], [0, 1], [0] * 5, [0, 0, 1, 1], [0, 1, 2]])
def test_few_or_equal_images_are_accepted(rows: list[int]) -> None:
    numbers = _correlated(3, seed=0)[rows]
    distances = fit_spread(numbers, numbers).distances(tf.constant(np.r_[numbers, numbers + 100])).numpy()
    assert np.isfinite(distances).all()
    assert distances[: len(rows)].max() < distances[len(rows) :].min()


def _noise(num_images: int) -> np.ndarray:
    """Noise, half of it in squares of 4 px, at varying exposures; its first two channels are alike."""
    random = np.random.default_rng(0)
    fine = random.uniform(0, 1, (num_images, 32, 32, 3))
    coarse = random.uniform(0, 1, (num_images, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    pixels = (fine + coarse) * random.uniform(60, 80, (num_images, 1, 1, 1)) * [1.0, 0.5, 0.8]
    pixels[..., 1] += pixels[..., 0] / 2
    return pixels.astype(np.float32)


_SHIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "darker": lambda pixels: pixels / 4,
    "blurred": lambda pixels: tf.nn.avg_pool2d(pixels, 3, 1, "SAME").numpy(),
    "magnified": lambda pixels: pixels[:, :16, :16].repeat(2, axis=1).repeat(2, axis=2),
    "demagnified": lambda pixels: np.tile(pixels[:, ::2, ::2], (1, 2, 2, 1)),
    "swapped": lambda pixels: pixels[..., [0, 2, 1]],
}


@pytest.mark.parametrize("shift", _SHIFTS)
def test_exposure_focus_magnification_and_swapped_channels_change_the_texture(shift: str) -> None:
    pixels = _noise(400)
    spread = fit_spread(texture(pixels[:200]).numpy(), texture(pixels[200:300]).numpy())
    assert np.mean(spread.distances(texture(pixels[300:])) > 1) < 0.1
    assert np.mean(spread.distances(texture(_SHIFTS[shift](pixels[300:]))) > 1) > 0.9


def test_an_image_counts_as_far_if_either_its_features_or_its_texture_are() -> None:
    numbers = _correlated(100, seed=0)
    reference = fit_reference((numbers, numbers), (numbers, numbers))
    usual, far = tf.constant(numbers[:1]), tf.constant(numbers[:1] + 100)
    for pair in [(far, usual), (usual, far)]:
        assert reference.distances(pair) > 10 * reference.distances((usual, usual))


@pytest.mark.parametrize(("num_validation", "is_known"), [(299, False), (300, True)])
def test_the_limit_of_the_distance_needs_300_validation_images(
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
        _, usual = measure_reference({"float32": network}, splits["train"], splits["validation"])
    assert list(usual) == (["float32"] if is_known else [])
    assert all(1 <= distance < 1.5 for distance in usual.values())
