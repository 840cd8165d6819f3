"""The input pipeline: from examples to batches, in an order that depends only on the seed and the epoch."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.train.recipes import Recipe

if TYPE_CHECKING:
    from components.artifacts.examples import ExampleReader  # needs packages that benchmarks.gpu does not have

# Pixels, uint8 of shape (batch, side, side, channels); draws, float32 of shape (batch, 2): see `Epoch`; labels, float32 of
# shape (batch, classes).
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]

# One reader delivers a few thousand images a second.
_NUM_READERS = 2
_NUM_AHEAD = 4


@dataclass(frozen=True)
class Epoch:
    """The images of an epoch and their augmentation, determined by the seed, the epoch and the examples.

    Attributes:
        numbers: The examples' numbers, int64, shape (steps, images).
        symmetries: int64, shape (steps, images), 0 to 7: quarter turns (the symmetry modulo 4), from 4 on after a flip.
        draws: float32, shape (steps, images, 2), in [-1, 1]: for the rotation and for the brightness.
        corners: int64, shape (steps, images, 2): the row and the column at which each image's crop begins.
        crop_px: The side of the crops; that of the images if the recipe does not crop.
    """

    numbers: np.ndarray
    symmetries: np.ndarray
    draws: np.ndarray
    corners: np.ndarray
    crop_px: int

    @property
    def num_steps(self) -> int:
        """The number of batches."""
        return len(self.numbers)


def plan_epoch(examples: "ExampleReader", recipe: Recipe, seed: int, epoch: int) -> Epoch:
    """Draws an epoch: as many images as there are, in whole batches.

    Without oversampling each image comes once. An incomplete last batch is dropped, unless it is the only one.
    """
    random = np.random.default_rng([seed, epoch])
    size = images_per_step(examples, recipe.batch_size)
    num_steps = len(examples) // size
    if recipe.oversampling:
        numbers = random.permutation(_resample(class_balance(examples.labels, recipe.oversampling), random))
    else:
        numbers = random.permutation(len(examples))
    shape = num_steps, size
    crop_px = recipe.crop_px(examples.shape[0])
    return Epoch(
        numbers[: num_steps * size].reshape(shape),
        random.integers(0, 8, shape),
        random.uniform(-1, 1, (*shape, 2)).astype(np.float32),
        random.integers(0, examples.shape[0] - crop_px + 1, (*shape, 2)),
        crop_px,
    )


def images_per_step(examples: "ExampleReader", batch_size: int) -> int:
    """How many images a step has: the batch size, or all images if there are fewer."""
    return min(batch_size, len(examples))


def steps_per_epoch(examples: "ExampleReader", batch_size: int) -> int:
    """How many batches an epoch has."""
    return len(examples) // images_per_step(examples, batch_size)


def class_balance(labels: np.ndarray, strength: float) -> np.ndarray:
    """How often to show each image: once for the commonest class, and more often the rarer its rarest class.

    Args:
        labels: bool, shape (images, classes).
        strength: 0 for all images alike; 1 for all classes alike.

    Returns:
        float64, shape (images,), 1 or more.
    """
    counts = labels.sum(axis=0)
    by_class = (counts.max(initial=1) / np.maximum(counts, 1)) ** strength
    return np.maximum(1.0, np.where(labels, by_class, 0.0).max(axis=1, initial=1.0))


def _resample(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws as many numbers as there are weights, each in proportion to its weight, rounded up or down."""
    ends = np.cumsum(weights / weights.sum())
    points = (random.random() + np.arange(len(weights))) / len(weights)
    return np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1)


def training_batches(
    examples: "ExampleReader", plan: Callable[[int], Epoch], steps: range, rows: slice = slice(None)
) -> Iterator[Batch]:
    """The batches of some steps, read ahead by threads, also across epochs.

    Crops, flips and quarter turns happen here, on bytes, where they are cheap; see `components.train.augmentation` for the
    rest. The threads are Python's, because tf.data's overhead per image exceeds the time to copy it.

    Args:
        examples: The examples to read.
        plan: Returns an epoch by its number, from 0. All have the same number of steps.
        steps: The steps to read, counted from the beginning of the training.
        rows: The images of each step to read, for one worker of several.
    """
    steps_per_epoch = plan(0).num_steps

    def read(step: int) -> Batch:
        epoch, number = divmod(step, steps_per_epoch)
        planned = plan(epoch)
        images = planned.numbers[number, rows], planned.symmetries[number, rows], planned.corners[number, rows]
        pixels, labels = read_batch(examples, *images, planned.crop_px)
        return pixels, planned.draws[number, rows], labels

    readers = ThreadPoolExecutor(_NUM_READERS, "reader")
    ahead: deque[Future[Batch]] = deque()
    try:
        for step in steps:
            ahead.append(readers.submit(read, step))
            if len(ahead) > _NUM_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        readers.shutdown(wait=False, cancel_futures=True)


def read_batch(
    examples: "ExampleReader", numbers: np.ndarray, symmetries: np.ndarray, corners: np.ndarray, crop_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """The images of these numbers, cropped, turned and mirrored, and their labels, as in `training_batches`.

    Args:
        examples: The examples to read.
        numbers: int64, shape (images,); this and the next two are a row of the same attribute of `Epoch`.
        symmetries: int64, shape (images,).
        corners: int64, shape (images, 2).
        crop_px: The side of the crops.

    Returns:
        Pixels: uint8, shape (images, crop_px, crop_px, channels). Labels: float32, shape (images, classes).
    """
    pixels = np.empty((len(numbers), crop_px, crop_px, examples.shape[2]), np.uint8)
    for place, number, symmetry, (row, column) in zip(pixels, numbers, symmetries, corners, strict=True):
        _copy_turned(examples.pixels(number)[row : row + crop_px, column : column + crop_px], symmetry, place)
    return pixels, examples.labels[numbers].astype(np.float32)


def _copy_turned(pixels: np.ndarray, symmetry: int, to: np.ndarray) -> None:
    """Copies an image in one of the eight symmetries of the square."""
    flipped = pixels if symmetry < 4 else pixels[:, ::-1]
    turned = np.rot90(flipped, symmetry % 4)
    if turned.strides[1:] == pixels.strides[1:]:  # rows are unchanged
        to[:] = turned
        return
    # Copying channel by channel takes a quarter of the time: NumPy has no fast path for three bytes at once.
    for channel in range(pixels.shape[2]):
        to[:, :, channel] = turned[:, :, channel]
