from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest

from components.artifacts.examples import ExampleReader
from components.train.inputs import class_balance, plan_epoch, steps_per_epoch, training_batches
from components.train.recipes import RECIPES, Recipe

RECIPE = RECIPES["paper"].overridden(batch_size=8)
CROPPING = replace(RECIPE, crop=0.75)


@pytest.fixture(scope="module")
def reader(splits: dict[str, ExampleReader]) -> ExampleReader:
    return splits["train"]


def _epoch(reader: ExampleReader, seed: int, epoch: int, recipe: Recipe = RECIPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    num_steps = steps_per_epoch(reader, recipe.batch_size)
    steps = range(epoch * num_steps, (epoch + 1) * num_steps)
    batches = list(training_batches(reader, partial(plan_epoch, reader, recipe, seed), steps))
    assert len(batches) == num_steps
    pixels, draws, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return pixels, draws, labels


def test_an_epoch_has_every_training_example_once(reader: ExampleReader) -> None:
    pixels, _, labels = _epoch(reader, seed=1, epoch=0)
    assert pixels.shape == (96, 16, 16, 3)
    assert pixels.dtype == np.uint8
    (stored,) = reader.batches(96)
    # Turning an image changes neither its sum nor its labels.
    seen = sorted(zip(pixels.sum(axis=(1, 2, 3)).tolist(), labels.tolist(), strict=True))
    assert seen == sorted(zip(stored.sum(axis=(1, 2, 3)).tolist(), reader.labels.tolist(), strict=True))


@pytest.mark.parametrize("recipe", [RECIPE, CROPPING], ids=["whole images", "crops"])
def test_everything_is_a_function_of_seed_and_epoch(reader: ExampleReader, recipe: Recipe) -> None:
    first = _epoch(reader, 1, 3, recipe)
    assert all(np.array_equal(a, b) for a, b in zip(first, _epoch(reader, 1, 3, recipe), strict=True))
    for seed, epoch in ((1, 4), (2, 3)):
        other = _epoch(reader, seed, epoch, recipe)
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("recipe", [RECIPE, CROPPING], ids=["whole images", "crops"])
def test_training_can_start_anywhere(reader: ExampleReader, recipe: Recipe) -> None:
    plan = partial(plan_epoch, reader, recipe, 1)
    whole = list(training_batches(reader, plan, range(30)))
    rest = list(training_batches(reader, plan, range(9, 30)))
    assert len(rest) == 21
    for batch, expected in zip(rest, whole[9:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(batch, expected, strict=True))


@pytest.mark.parametrize("recipe", [RECIPE, CROPPING], ids=["whole images", "crops"])
def test_workers_share_a_step_between_them(reader: ExampleReader, recipe: Recipe) -> None:
    plan = partial(plan_epoch, reader, recipe, 1)
    whole = next(training_batches(reader, plan, range(1)))
    parts = [next(training_batches(reader, plan, range(1), rows))[0] for rows in (slice(0, 4), slice(4, 8))]
    assert [len(part) for part in parts] == [4, 4]
    assert np.array_equal(np.concatenate(parts), whole[0])


def test_training_images_are_turned_and_mirrored_and_nothing_else(reader: ExampleReader) -> None:
    (stored,) = reader.batches(96)
    by_sum = {int(image.sum()): image for image in stored}
    kinds = set()
    for image in _epoch(reader, seed=5, epoch=0)[0]:
        original = by_sum[int(image.sum())]
        symmetries = [np.rot90(side, turns) for side in (original, original[:, ::-1]) for turns in range(4)]
        matches = [number for number, symmetry in enumerate(symmetries) if np.array_equal(image, symmetry)]
        assert matches
        kinds.add(matches[0])
    assert len(kinds) == 8


def test_crops_come_from_everywhere_in_an_image(reader: ExampleReader) -> None:
    plan = plan_epoch(reader, CROPPING, 5, 0)
    pixels, _, _ = _epoch(reader, seed=5, epoch=0, recipe=CROPPING)
    assert pixels.shape == (96, 12, 12, 3)
    for crop, number, symmetry, (row, column) in zip(
        pixels, plan.numbers.ravel(), plan.symmetries.ravel(), plan.corners.reshape(-1, 2), strict=True
    ):
        expected = reader.pixels(number)[row:, column:][:12, :12]
        flipped = expected if symmetry < 4 else expected[:, ::-1]
        assert np.array_equal(crop, np.rot90(flipped, symmetry % 4))
    corners = np.concatenate([plan_epoch(reader, CROPPING, 5, epoch).corners for epoch in range(3)])
    assert set(map(tuple, corners.reshape(-1, 2).tolist())) == set(product(range(5), range(5)))


def test_crops_change_nothing_else_in_an_epoch(reader: ExampleReader) -> None:
    whole, crops = (plan_epoch(reader, recipe, 5, 2) for recipe in (RECIPE, CROPPING))
    for name in ("numbers", "symmetries", "draws"):
        assert np.array_equal(getattr(whole, name), getattr(crops, name))
    assert not whole.corners.any()


@pytest.mark.parametrize(("batch_size", "sizes"), [(40, [40, 40]), (200, [96])])
def test_incomplete_batches_are_dropped_unless_there_is_no_other(
    reader: ExampleReader, batch_size: int, sizes: list[int]
) -> None:
    plan = partial(plan_epoch, reader, RECIPE.overridden(batch_size=batch_size), 0)
    steps = range(plan(0).num_steps)
    assert [len(pixels) for pixels, *_ in training_batches(reader, plan, steps)] == sizes


class TestOversampling:
    def test_weighs_an_image_by_its_rarest_class(self) -> None:
        labels = np.array([[1, 0, 0]] * 16 + [[1, 1, 0]] * 3 + [[0, 1, 0]], bool)  # 19, 4 and 0 positives
        assert np.allclose(class_balance(labels, 0.5), [1.0] * 16 + [(19 / 4) ** 0.5] * 4)
        assert np.allclose(class_balance(labels, 0.0), 1.0)
        assert np.allclose(class_balance(np.zeros((2, 3), bool), 1.0), 1.0)

    def test_shows_each_image_as_often_as_its_weight_says(self, reader: ExampleReader) -> None:
        recipe = replace(RECIPE, oversampling=1.0, batch_size=96)
        weights = class_balance(reader.labels, 1.0)
        expected = len(reader) * weights / weights.sum()
        times = np.array(
            [np.bincount(plan_epoch(reader, recipe, 0, epoch).numbers.ravel(), minlength=96) for epoch in range(50)]
        )
        assert (times.sum(axis=1) == 96).all()
        assert ((times >= np.floor(expected)) & (times <= np.ceil(expected))).all()
        assert np.allclose(times.mean(axis=0), expected, atol=0.35)
