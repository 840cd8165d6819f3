"""Measures the speed of predictions in bfloat16 compared with float32, and how many decisions differ.

    python -m benchmarks.predict_precision --samples 1000 --repeats 3

A run of the pipeline trains InceptionResNetV2 for a few epochs on synthetic images. Its exported model then classifies images
of another series in both precisions, in turn, in one process. Each class's threshold gives as many positives as there are, so
that many probabilities are close to it. The processor must multiply bfloat16 (`avx512_bf16` or `amx_bf16`).
"""

import argparse
import statistics
import sys
import tempfile
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from benchmarks.drift import CHANNELS, OTHER_SERIES, train
from benchmarks.machine import describe_machine
from components.images.decode import sample_pixels
from components.runtime.processor import multiplies_bfloat16
from components.serving.model import ServedModel, load_model, read_manifest
from components.synthetic.samples import render_sample

_PRECISIONS = ("float32", "bfloat16")
_BATCH_SIZE = 32


def _render(task: tuple[int, int]) -> tuple[np.ndarray, tuple[int, ...]]:
    number, image_size_px = task
    sample = render_sample(OTHER_SERIES, number)
    return sample_pixels(sample.pngs, CHANNELS, image_size_px), sample.labels


def classify(model: ServedModel, pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The probabilities of all images, and the images per second."""
    started_s = time.monotonic()
    batches = [pixels[start : start + _BATCH_SIZE] for start in range(0, len(pixels), _BATCH_SIZE)]
    probabilities = np.concatenate([model.classify(batch).probabilities for batch in batches])
    return probabilities, len(pixels) / (time.monotonic() - started_s)


def main() -> None:
    """Trains, classifies and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--training-samples", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--image-size-px", type=int, default=299)
    options = parser.parse_args()
    if not multiplies_bfloat16():
        sys.exit("this processor does not multiply bfloat16: run this benchmark on one that does")
    print(f"\n{options.samples} samples, {options.image_size_px} px, batches of {_BATCH_SIZE}; {describe_machine()}.\n")
    with tempfile.TemporaryDirectory() as folder:
        version = train(Path(folder), options.training_samples, options.epochs, options.image_size_px)
        trained = read_manifest(str(version))
        with Pool() as pool:
            rendered = pool.map(_render, [(number, options.image_size_px) for number in range(options.samples)])
        pixels = np.stack([image for image, _ in rendered])
        prevalence = np.mean([[label in labels for label in range(len(trained.class_names))] for _, labels in rendered], axis=0)
        models = {name: load_model(str(version), trained, _BATCH_SIZE, Path(), name) for name in _PRECISIONS}
        print("| repeat | float32, images/s | bfloat16, images/s | times |\n|---|---:|---:|---:|")
        times = []
        for repeat in range(options.repeats):
            (exact, slow), (rounded, fast) = (classify(models[name], pixels) for name in _PRECISIONS)
            times.append(fast / slow)
            print(f"| {repeat + 1} | {slow:.2f} | {fast:.2f} | {times[-1]:.2f} |", flush=True)
    thresholds = np.array([np.quantile(exact[:, label], 1 - share) for label, share in enumerate(prevalence)])
    equal = np.mean((exact >= thresholds) == (rounded >= thresholds))
    print(
        f"\nMedian: {statistics.median(times):.2f} times as fast; {equal:.3%} of {exact.size:,} decisions are equal; "
        f"the largest difference of a probability is {np.abs(exact - rounded).max():.4f}"
    )


if __name__ == "__main__":
    main()
