"""Compares recipes on pretrained weights: macro F1 by recipe and seed, with paired differences and their intervals.

    python -m benchmarks.transfer
    python -m benchmarks.transfer --recipes paper strong "strong warmup_epochs=0" "strong brightness=0.5"
    python -m benchmarks.transfer --backbone small --train 300 --epochs 12 --recipes strong "strong frozen_statistics"

A backbone is pretrained on one synthetic series with balanced classes, on inputs with a deviation of 0.5, which is what
ImageNet's weights expect. It is then fine-tuned on another series with the published class frequencies, on one split, once for
each recipe and seed; a seed determines the head's initial weights, the order of the images and the augmentation. Macro F1 is
measured on the test split, at the best single threshold on validation. Recipes are compared with the first one; the 95 %
intervals are Student's t over the seeds. A recipe is a name, with fields of `components.train.recipes.Recipe` to override, or
with the name of a variant, which changes the training:

    frozen_statistics   the warm-up normalises by the moving averages of the pretrained weights, and does not update them
    halved_inputs       the same, with inputs scaled to the deviation that these averages expect
    added_brightness    augmentation adds up to `brightness` of the grey scale instead of multiplying

Images, weights and the result of each run are kept in outputs/transfer/, so that an interrupted call resumes.
"""

import argparse
import gc
import gzip
import hashlib
import json
import math
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from multiprocessing import Pool
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import stats

from benchmarks.machine import describe_machine
from components import storage
from components.artifacts.examples import ExampleReader, open_splits
from components.artifacts.labels import CLASS_NAMES, format_target
from components.artifacts.manifest import SAMPLES, Examples, Shard
from components.artifacts.tfrecord import RecordWriter, encode_example, frame_record
from components.evaluate.metrics import scoreboard
from components.evaluate.thresholds import fit_global_threshold
from components.images.decode import sample_pixels
from components.synthetic.samples import render_sample, sample_group, sample_labels
from components.train import augmentation, fit, learner
from components.train.checkpoint import Checkpoints
from components.train.devices import Devices, open_devices
from components.train.model import BACKBONES, Backbone, backbone_of, build_backbone, build_model
from components.train.recipes import RECIPES, Recipe
from components.train.settings import FORMAT, NONE
from components.train.views import probabilities

FOLDER = Path(__file__).resolve().parent.parent / "outputs" / "transfer"
_PRETRAINING_SERIES, SERIES = 1000, 1001
_CHANNELS = ("red", "green", "blue")
# The deviation of the inputs that the pretrained weights expect; the pipeline's have 1.
_PRETRAINING_DEVIATION = 0.5
_PRETRAINING_VALIDATION = 0.1
SMALL = "small"

# The image numbers of a series, by split.
Split = dict[str, list[int]]


def small_backbone(include_top: bool, weights: str | None, input_shape: tuple[int, int, int]) -> keras.Model:
    """Four convolutions with batch normalisation, for quick comparisons."""
    assert not include_top
    assert weights is None
    features = pixels = keras.Input(input_shape)
    for num_filters in (24, 48, 96, 192):
        features = keras.layers.Conv2D(num_filters, 3, strides=2, use_bias=False)(features)
        features = keras.layers.ReLU()(keras.layers.BatchNormalization()(features))
    return keras.Model(pixels, features, name=SMALL)


def balanced_numbers(series: int, per_class: int) -> list[int]:
    """The first images of a series, without those whose classes all have `per_class` images already."""
    counts, chosen, number = np.zeros(len(CLASS_NAMES), int), [], 0
    while counts.min() < per_class:
        labels = list(sample_labels(series, number))
        if counts[labels].min() < per_class:
            chosen.append(number)
            counts[labels] += 1
        number += 1
    return chosen


def natural_split(series: int, sizes: dict[str, int]) -> Split:
    """Splits the first images of a series by near-duplicate groups; sizes are met up to a group."""
    groups: dict[int, list[int]] = {}
    number = 0
    while sum(map(len, groups.values())) < sum(sizes.values()):
        groups.setdefault(sample_group(series, number), []).append(number)
        number += 1
    split: Split = {name: [] for name in sizes}
    for members in groups.values():
        emptiest = min(split, key=lambda name: len(split[name]) / sizes[name])
        split[emptiest] += members
    return split


def rendered(series: int, number: int, image_size_px: int, channels: Sequence[str], folder: Path) -> np.ndarray:
    """An image as in records: uint8, shape (image_size_px, image_size_px, channels), rendered once."""
    path = folder / "images" / f"{series}-{'-'.join(channels)}-{image_size_px}px" / f"{number}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.save(file, sample_pixels(render_sample(series, number).pngs, channels, image_size_px))
        partial.rename(path)
    pixels: np.ndarray = np.load(path)
    return pixels


def write_examples(
    series: int, split: Split, image_size_px: int, folder: Path, processes: int, channels: Sequence[str] = _CHANNELS
) -> Examples:
    """Writes records of some images, one shard per split."""
    key = hashlib.sha256(json.dumps([series, split, image_size_px, channels]).encode()).hexdigest()[:16]
    records = folder / "records" / key
    records.mkdir(parents=True, exist_ok=True)
    shards = {}
    table = ["id,split,shard,offset,labels"]
    for name, numbers in split.items():
        with Pool(processes) as pool:
            tasks = [(series, number, image_size_px, channels, folder) for number in numbers]
            images = pool.starmap(rendered, tasks, chunksize=4)
        path = records / f"{name}-00000-of-00001.tfrecord"
        with RecordWriter(path) as writer:
            for number, pixels in zip(numbers, images, strict=True):
                sample_id, labels = f"{series}-{number}", sample_labels(series, number)
                offset = writer.write(frame_record(encode_example(sample_id, pixels, labels)))
                table.append(f"{sample_id},{name},{path.name},{offset},{format_target(labels)}")
        shards[name] = [Shard(name=path.name, num_records=writer.num_records, num_bytes=writer.num_bytes, crc32c=writer.crc32c)]
    examples = Examples(
        fingerprint=key,
        inputs={},
        parameters={},
        source=f"synthetic series {series}",
        licence="none",
        uri=str(records),
        image_size_px=image_size_px,
        channels=list(channels),
        class_names=list(CLASS_NAMES),
        shards=shards,
        num_quarantined=0,
        attempt="0",
    )
    storage.replace_bytes(examples.file_uri(SAMPLES), gzip.compress("\n".join(table).encode()))
    return examples


def train(
    examples: Examples, recipe: Recipe, weights: str, seed: int, devices: Devices, folder: Path, deviation: float = 1.0
) -> keras.Model:
    """Trains a network on inputs with a given deviation; it resumes after an interruption."""
    gc.collect()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    side_px = recipe.input_side_px(examples.image_size_px)
    backbone = build_backbone(recipe.backbone, side_px, len(examples.channels), weights)
    with open_splits(examples, ["train", "validation"]) as splits:
        pixels = np.concatenate(list(splits["train"].batches(256)))
        mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
        network = build_model(backbone, mean, std / deviation, len(CLASS_NAMES), recipe.dropout, pooling=recipe.pooling)
        checkpoints = Checkpoints(str(folder / "checkpoints"))
        fit.train(network, splits["train"], splits["validation"], recipe, seed, checkpoints, devices)
    return network


def pretrain(options: argparse.Namespace, devices: Devices) -> Path:
    """Returns the file of the pretrained backbone's weights."""
    key = f"{options.backbone}-{options.image_size_px}px-{options.per_class}x{options.pretraining_epochs}-format{FORMAT}"
    path: Path = options.folder / "weights" / f"{key}.weights.h5"
    if not path.exists():
        numbers = np.random.default_rng(0).permutation(balanced_numbers(_PRETRAINING_SERIES, options.per_class)).tolist()
        end = int(len(numbers) * _PRETRAINING_VALIDATION)
        split = {"train": numbers[end:], "validation": numbers[:end]}
        examples = write_examples(_PRETRAINING_SERIES, split, options.image_size_px, options.folder, options.processes)
        recipe = replace(
            RECIPES["paper"], backbone=options.backbone, schedule="cosine", epochs=options.pretraining_epochs, patience=1000
        )
        network = train(examples, recipe, "none", 0, devices, options.folder / "pretraining" / key, _PRETRAINING_DEVIATION)
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f"partial-{path.name}")
        backbone_of(network).save_weights(partial)
        partial.rename(path)
    return path


def fine_tune(
    chosen: str, seed: int, examples: Examples, weights: str, options: argparse.Namespace, devices: Devices
) -> dict[str, Any]:
    """The scoreboard of a recipe and a seed on the test split: trained once, then read."""
    name, *changes = chosen.split()
    fields = {field: json.loads(value) for field, _, value in (change.partition("=") for change in changes if "=" in change)}
    base = replace(RECIPES[name], backbone=options.backbone, epochs=options.epochs, patience=options.epochs)
    recipe, variants = replace(base, **fields), [change for change in changes if "=" not in change]
    given = weights if weights == NONE else storage.file_crc32c(Path(weights))
    what = [asdict(recipe), variants, seed, examples.fingerprint, given, FORMAT]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    path: Path = options.folder / "results" / f"{key}.json"
    if not path.exists():
        with ExitStack() as stack:
            for variant in variants:
                stack.enter_context(_VARIANTS[variant]())
            deviation = _PRETRAINING_DEVIATION if "halved_inputs" in variants else 1.0
            network = train(examples, recipe, weights, seed, devices, options.folder / "runs" / key, deviation)
        found = judge(network, examples, recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps({"recipe": chosen, "seed": seed, **found}, indent=2), encoding="utf-8")
        partial.rename(path)
        shutil.rmtree(options.folder / "runs" / key, ignore_errors=True)
        print(f"{chosen}, seed {seed}: macro F1 {found['f1_macro']:.3f}", file=sys.stderr, flush=True)
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def judge(network: keras.Model, examples: Examples, recipe: Recipe) -> dict[str, float]:
    """The scoreboard of the test split, at the best threshold on validation."""

    @tf.function(reduce_retracing=True)
    def logits_of(pixels: tf.Tensor) -> tf.Tensor:
        return network(pixels, training=False)

    def answer(reader: ExampleReader) -> tuple[np.ndarray, np.ndarray]:
        images = (tf.constant(pixels, tf.float32) for pixels in reader.batches(50))
        return reader.labels, np.concatenate([probabilities(logits_of, pixels, recipe) for pixels in images])

    with open_splits(examples, ["validation", "test"]) as splits:
        threshold = fit_global_threshold(*answer(splits["validation"]))
        return scoreboard(*answer(splits["test"]), threshold)


@contextmanager
def _frozen_statistics() -> Iterator[None]:
    differentiate = learner.Learner._differentiate

    def frozen(self: learner.Learner, learning: Sequence[Any], images: Any, labels: Any) -> Any:
        backbone = backbone_of(self.network)
        backbone.trainable = len(learning) == len(self._learning)
        try:
            return differentiate(self, learning, images, labels)
        finally:
            backbone.trainable = True

    with patch.object(learner.Learner, "_differentiate", frozen):
        yield


@contextmanager
def _added_brightness() -> Iterator[None]:
    def add(pixels: Any, draws: Any, rotation_turns: float, brightness: float) -> Any:
        images = augmentation.augment(pixels, draws, rotation_turns, 0.0)
        return ops.clip(images + 255.0 * brightness * draws[:, 1, None, None, None], 0.0, 255.0)

    with patch.object(learner, "augment", add):
        yield


_VARIANTS: dict[str, Callable[[], Any]] = {
    "frozen_statistics": _frozen_statistics,
    "halved_inputs": _frozen_statistics,
    "added_brightness": _added_brightness,
}


def print_table(scores: dict[str, list[float]]) -> None:
    """Prints Markdown: macro F1 by recipe and seed, and the differences from the first recipe."""
    (reference, *_), num_seeds = scores, len(next(iter(scores.values())))
    seeds = " | ".join(f"seed {seed}" for seed in range(num_seeds))
    print(f"| macro F1, test | {seeds} | mean | less `{reference}`, 95 % interval |\n|---|{'---:|' * (num_seeds + 2)}")
    for recipe, values in scores.items():
        cells = [f"{value:.3f}" for value in [*values, statistics.mean(values)]]
        differences = [value - other for value, other in zip(values, scores[reference], strict=True)]
        cells.append("" if recipe == reference else _interval(differences))
        print(f"| `{recipe}` | {' | '.join(cells)} |")


def _interval(differences: Sequence[float]) -> str:
    """The mean of paired differences, with Student's interval."""
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def main() -> None:
    """Pretrains, fine-tunes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="inception_resnet_v2", help=f"as the parameter, or `{SMALL}`: four convolutions")
    parser.add_argument("--image-size-px", type=int, default=75)
    parser.add_argument("--per-class", type=int, default=40, help="the minimum number of images of each class to pretrain on")
    parser.add_argument("--pretraining-epochs", type=int, default=10)
    parser.add_argument("--train", type=int, default=400, help="how many images to fine-tune on")
    parser.add_argument("--validation", type=int, default=150)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=8, help="the epochs of fine-tuning")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=["paper", "strong", "plateau"])
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many processes render images")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    BACKBONES[SMALL] = Backbone(small_backbone)
    devices = open_devices()
    weights = str(pretrain(options, devices))
    split = natural_split(SERIES, {name: getattr(options, name) for name in ("train", "validation", "test")})
    examples = write_examples(SERIES, split, options.image_size_px, options.folder, options.processes)
    scores: dict[str, list[float]] = {recipe: [] for recipe in options.recipes}
    for seed in range(options.seeds):
        for recipe, of_recipe in scores.items():
            of_recipe.append(fine_tune(recipe, seed, examples, weights, options, devices)["f1_macro"])
    sizes = ", ".join(f"{examples.num_records(name)} {name}" for name in split)
    print(
        f"{options.backbone} at {options.image_size_px} px, pretrained for {options.pretraining_epochs} epochs on images that "
        f"show each class {options.per_class} times or more, fine-tuned for {options.epochs} epochs; images: {sizes}; "
        f"{describe_machine()}.\n"
    )
    print_table(scores)


if __name__ == "__main__":
    main()
