from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.manifest import Examples
from components.train.inputs import class_balance, evaluation_batches, plan_epoch, steps_per_epoch, training_batches
from components.train.recipes import RECIPES, Recipe
from components.train.record_files import RecordFiles, open_records
from tests.components.train.conftest import CLASS_NAMES, SIDE_PX

RECIPE = RECIPES["paper"].overridden(batch_size=8)


@pytest.fixture(scope="module")
def records(examples: Examples) -> RecordFiles:
    return open_records(examples, "train")


def _epoch(records: RecordFiles, seed: int, epoch: int, recipe: Recipe = RECIPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    num_steps = steps_per_epoch(records, recipe.batch_size)
    steps = range(epoch * num_steps, (epoch + 1) * num_steps)
    batches = list(training_batches(records, partial(plan_epoch, records, recipe, seed), steps))
    assert len(batches) == num_steps
    pixels, draws, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return pixels, draws, labels


def test_an_epoch_has_every_training_example_once(records: RecordFiles, examples: Examples) -> None:
    pixels, _, labels = _epoch(records, seed=1, epoch=0)
    assert pixels.shape == (96, 16, 16, 3)
    assert pixels.dtype == np.uint8
    stored, stored_labels = zip(*evaluation_batches(examples, "train", 96).as_numpy_iterator(), strict=True)
    # Turning an image changes neither its sum nor its labels.
    seen = sorted(zip(pixels.sum(axis=(1, 2, 3)).tolist(), labels.tolist(), strict=True))
    assert seen == sorted(zip(stored[0].sum(axis=(1, 2, 3)).tolist(), stored_labels[0].tolist(), strict=True))


def test_everything_is_a_function_of_seed_and_epoch(records: RecordFiles) -> None:
    first = _epoch(records, seed=1, epoch=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, _epoch(records, seed=1, epoch=3), strict=True))
    for seed, epoch in ((1, 4), (2, 3)):
        other = _epoch(records, seed, epoch)
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])


def test_training_can_start_anywhere(records: RecordFiles) -> None:
    plan = partial(plan_epoch, records, RECIPE, 1)
    whole = list(training_batches(records, plan, range(30)))
    rest = list(training_batches(records, plan, range(9, 30)))
    assert len(rest) == 21
    for batch, expected in zip(rest, whole[9:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(batch, expected, strict=True))


def test_workers_share_a_step_between_them(records: RecordFiles) -> None:
    plan = partial(plan_epoch, records, RECIPE, 1)
    whole = next(training_batches(records, plan, range(1)))
    parts = [next(training_batches(records, plan, range(1), rows))[0] for rows in (slice(0, 4), slice(4, 8))]
    assert [len(part) for part in parts] == [4, 4]
    assert np.array_equal(np.concatenate(parts), whole[0])


def test_training_images_are_turned_and_mirrored_and_nothing_else(records: RecordFiles, examples: Examples) -> None:
    stored = next(evaluation_batches(examples, "train", 96).as_numpy_iterator())[0]
    by_sum = {int(image.sum()): image for image in stored}
    kinds = set()
    for image in _epoch(records, seed=5, epoch=0)[0]:
        original = by_sum[int(image.sum())]
        symmetries = [np.rot90(side, turns) for side in (original, original[:, ::-1]) for turns in range(4)]
        matches = [number for number, symmetry in enumerate(symmetries) if np.array_equal(image, symmetry)]
        assert matches
        kinds.add(matches[0])
    assert len(kinds) == 8


def test_evaluation_images_come_as_they_are_and_in_order(examples: Examples) -> None:
    first, second = (list(evaluation_batches(examples, "test", 10).as_numpy_iterator()) for _ in range(2))
    assert [len(pixels) for pixels, _ in first] == [10, 10, 4]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


@pytest.mark.parametrize(("batch_size", "sizes"), [(40, [40, 40]), (200, [96])])
def test_incomplete_batches_are_dropped_unless_there_is_no_other(
    records: RecordFiles, batch_size: int, sizes: list[int]
) -> None:
    plan = partial(plan_epoch, records, RECIPE.overridden(batch_size=batch_size), 0)
    steps = range(plan(0).num_steps)
    assert [len(pixels) for pixels, *_ in training_batches(records, plan, steps)] == sizes


class TestOversampling:
    def test_weighs_an_image_by_its_rarest_class(self) -> None:
        labels = np.array([[1, 0, 0]] * 16 + [[1, 1, 0]] * 3 + [[0, 1, 0]], bool)  # 19, 4 and 0 positives
        assert np.allclose(class_balance(labels, 0.5), [1.0] * 16 + [(19 / 4) ** 0.5] * 4)
        assert np.allclose(class_balance(labels, 0.0), 1.0)
        assert np.allclose(class_balance(np.zeros((2, 3), bool), 1.0), 1.0)

    def test_shows_each_image_as_often_as_its_weight_says(self, records: RecordFiles) -> None:
        recipe = replace(RECIPE, oversampling=1.0, batch_size=96)
        weights = class_balance(records.descriptions[1], 1.0)
        expected = len(records) * weights / weights.sum()
        times = np.array(
            [np.bincount(plan_epoch(records, recipe, 0, epoch).numbers.ravel(), minlength=96) for epoch in range(50)]
        )
        assert (times.sum(axis=1) == 96).all()
        assert ((times >= np.floor(expected)) & (times <= np.ceil(expected))).all()
        assert np.allclose(times.mean(axis=0), expected, atol=0.35)


class TestRecordFiles:
    def test_reads_any_record_by_its_number(self, records: RecordFiles, examples: Examples) -> None:
        stored = [record.numpy() for record in tf.data.TFRecordDataset(examples.shard_uris("train"))]
        assert len(records) == len(stored) == 96
        for number in (95, 0, 40, 39, 40):
            example = tf.train.Example.FromString(stored[number])
            assert records.pixels(number).tobytes() == example.features.feature["image/raw"].bytes_list.value[0]

    def test_knows_ids_and_labels(self, records: RecordFiles, examples: Examples) -> None:
        ids, labels = records.descriptions
        assert ids == [f"sample-{number:03d}" for number in range(96)]
        _, expected = next(evaluation_batches(examples, "train", 96).as_numpy_iterator())
        assert np.array_equal(labels, expected > 0.5)

    def test_refuses_a_file_that_is_cut_off(self, examples: Examples, tmp_path: Path) -> None:
        cut = tmp_path / "cut.tfrecord"
        cut.write_bytes(Path(examples.shard_uris("train")[0]).read_bytes()[:-10])
        with pytest.raises(ValueError, match="does not end with a record"):
            RecordFiles([str(cut)], (SIDE_PX, SIDE_PX, 3), len(CLASS_NAMES))

    def test_refuses_images_of_another_size(self, examples: Examples) -> None:
        (name, *_) = examples.shard_uris("train")
        with pytest.raises(ValueError, match=r"train-00000-of-00003\.tfrecord: record 0 holds no image of 17 x 17 x 3 bytes"):
            RecordFiles([name], (17, 17, 3), len(CLASS_NAMES))
