import numpy as np
import pytest

from components.shared.manifest import Examples
from components.train.inputs import evaluation_batches, steps_per_epoch, training_batches


def _epoch(examples: Examples, seed: int, epoch: int, batch_size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    batches = list(training_batches(examples, batch_size, seed, epoch).as_numpy_iterator())
    assert len(batches) == steps_per_epoch(examples, batch_size)
    return np.concatenate([pixels for pixels, _ in batches]), np.concatenate([labels for _, labels in batches])


def test_an_epoch_has_every_training_example_once(examples: Examples) -> None:
    pixels, labels = _epoch(examples, seed=1, epoch=0)
    assert pixels.shape == (96, 16, 16, 3)
    assert pixels.dtype == np.uint8
    stored, stored_labels = zip(*evaluation_batches(examples, "train", 96).as_numpy_iterator(), strict=True)
    # Turning an image changes neither its sum nor its labels.
    seen = sorted(zip(pixels.sum(axis=(1, 2, 3)).tolist(), labels.tolist(), strict=True))
    assert seen == sorted(zip(stored[0].sum(axis=(1, 2, 3)).tolist(), stored_labels[0].tolist(), strict=True))


def test_the_order_is_a_function_of_seed_and_epoch(examples: Examples) -> None:
    first = _epoch(examples, seed=1, epoch=3)[0]
    assert np.array_equal(first, _epoch(examples, seed=1, epoch=3)[0])
    assert not np.array_equal(first, _epoch(examples, seed=1, epoch=4)[0])
    assert not np.array_equal(first, _epoch(examples, seed=2, epoch=3)[0])


def test_training_images_are_turned_and_mirrored_and_nothing_else(examples: Examples) -> None:
    stored = next(evaluation_batches(examples, "train", 96).as_numpy_iterator())[0]
    by_sum = {int(image.sum()): image for image in stored}
    kinds = set()
    for image in _epoch(examples, seed=5, epoch=0)[0]:
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
def test_incomplete_batches_are_dropped_unless_there_is_no_other(examples: Examples, batch_size: int, sizes: list[int]) -> None:
    assert [len(pixels) for pixels, _ in training_batches(examples, batch_size, 0, 0).as_numpy_iterator()] == sizes
