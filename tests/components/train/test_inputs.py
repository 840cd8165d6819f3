from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from components.artifacts.examples import ExampleReader
from components.train.inputs import class_balance, plan_epoch, steps_per_epoch, training_batches
from components.train.recipes import RECIPES, Recipe

RECIPE = RECIPES["paper"].overridden(batch_size=8)


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


def test_everything_is_a_function_of_seed_and_epoch(reader: ExampleReader) -> None:
    first = _epoch(reader, seed=1, epoch=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, _epoch(reader, seed=1, epoch=3), strict=True))
    for seed, epoch in ((1, 4), (2, 3)):
        other = _epoch(reader, seed, epoch)
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])


def test_training_can_start_anywhere(reader: ExampleReader) -> None:
    plan = partial(plan_epoch, reader, RECIPE, 1)
    whole = list(training_batches(reader, plan, range(30)))
    rest = list(training_batches(reader, plan, range(9, 30)))
    assert len(rest) == 21
    for batch, expected in zip(rest, whole[9:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(batch, expected, strict=True))


def test_workers_share_a_step_between_them(reader: ExampleReader) -> None:
    plan = partial(plan_epoch, reader, RECIPE, 1)
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
