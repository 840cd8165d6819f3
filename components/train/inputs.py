"""The input pipeline: from examples to batches, in an order that depends on nothing but the seed and the epoch."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.train.recipes import Recipe

if TYPE_CHECKING:
    from components.artifacts.examples import ExampleReader  # which needs packages that benchmarks.gpu does without

# Pixels, uint8 of shape (batch, side, side, channels); draws, float32 of shape (batch, 2): see `Epoch`; labels, float32 of
# shape (batch, classes).
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]

# One reader gives some thousand images a second.
_NUM_READERS = 2
_NUM_AHEAD = 4


@dataclass(frozen=True)
class Epoch:
    """Which images an epoch shows, and how each is augmented: the same for the same seed, epoch and examples.

    Attributes:
        numbers: Of the examples, int64, steps x images.
        symmetries: 0 to 7: a quarter turn (the symmetry modulo 4), and from 4 on a flip before it. As `numbers`.
        draws: float32, steps x images x 2, in [-1, 1]: for the rotation and for the brightness.
        corners: int64, steps x images x 2: the row and the column at which the crop begins that is shown of each image.
        crop_px: The side of the crops: that of the images, if the recipe has none.
    """

    numbers: np.ndarray
    symmetries: np.ndarray
    draws: np.ndarray
    corners: np.ndarray
    crop_px: int

    @property
    def num_steps(self) -> int:
        """How many batches there are."""
        return len(self.numbers)


def plan_epoch(examples: "ExampleReader", recipe: Recipe, seed: int, epoch: int) -> Epoch:
    """Draws an epoch: as many images as there are, in whole batches.

    Without oversampling each image comes once; what does not fill a batch is left out, unless there is no other.
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
    """How many images a step has: fewer than asked for only where there are not as many."""
    return min(batch_size, len(examples))


def steps_per_epoch(examples: "ExampleReader", batch_size: int) -> int:
    """How many batches an epoch has."""
    return len(examples) // images_per_step(examples, batch_size)


def class_balance(labels: np.ndarray, strength: float) -> np.ndarray:
    """How often each image is to be seen: once for the commonest class, and more often the rarer its rarest class.

    Args:
        labels: bool, images x classes.
        strength: 0 for all alike; 1 for all classes alike.

    Returns:
        float64, one for each image, from 1.
    """
    counts = labels.sum(axis=0)
    by_class = (counts.max(initial=1) / np.maximum(counts, 1)) ** strength
    return np.maximum(1.0, np.where(labels, by_class, 0.0).max(axis=1, initial=1.0))


def _resample(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws as many numbers as there are weights, each as often as its weight says, rounded up or down."""
    ends = np.cumsum(weights / weights.sum())
    points = (random.random() + np.arange(len(weights))) / len(weights)
    return np.minimum(np.searchsorted(ends, points, side="right"), len(weights) - 1)


def training_batches(
    examples: "ExampleReader", plan: Callable[[int], Epoch], steps: range, rows: slice = slice(None)
) -> Iterator[Batch]:
    """The batches of some steps, of as many epochs as they go over: at the end of one the next is read already.

    Crops, flips and quarter turns happen here, on bytes, where they cost little; see `components.train.augmentation` for the
    rest. Threads read ahead. They are Python's and not tf.data's, which takes longer over its own part of the work than an
    image takes to be copied.

    Args:
        examples: What to read.
        plan: Gives an epoch by its number, from 0. All have the same number of steps.
        steps: Which, counted from the beginning of the training.
        rows: Which images of each step, for one worker of several.
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
    """Images of these numbers, cropped, turned and mirrored, and their labels: as `training_batches` has them."""
    pixels = np.empty((len(numbers), crop_px, crop_px, examples.shape[2]), np.uint8)
    for place, number, symmetry, (row, column) in zip(pixels, numbers, symmetries, corners, strict=True):
        _copy_turned(examples.pixels(number)[row : row + crop_px, column : column + crop_px], symmetry, place)
    return pixels, examples.labels[numbers].astype(np.float32)


def _copy_turned(pixels: np.ndarray, symmetry: int, to: np.ndarray) -> None:
    """Copies an image in one of the eight symmetries of the square."""
    flipped = pixels if symmetry < 4 else pixels[:, ::-1]
    turned = np.rot90(flipped, symmetry % 4)
    if turned.strides[1:] == pixels.strides[1:]:  # rows are as they were
        to[:] = turned
        return
    # NumPy copies channel by channel in a quarter of the time: it has no quick way for three bytes at once.
    for channel in range(pixels.shape[2]):
        to[:, :, channel] = turned[:, :, channel]
