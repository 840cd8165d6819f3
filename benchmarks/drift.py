"""Measures the share of shifted images that are marked as unlike a model's training images.

    python -m benchmarks.drift --samples 1600 --epochs 8 --fields 400

A run of the pipeline trains InceptionResNetV2 on synthetic images. Unseen fields of another series are then shifted, and
compared with its training images. Fields without a shift give the share of false alarms.
"""

import argparse
import tempfile
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.pipeline_run import run_pipeline
from components.artifacts.labels import FILTERS
from components.images.decode import decode_filters, stack_filters
from components.serving.model import load_model, read_manifest
from components.synthetic.samples import render_sample

CHANNELS = FILTERS[:3]
OTHER_SERIES = 977  # not the one of the training
_BATCH_SIZE = 50

Planes = list[np.ndarray]  # one plane per channel: uint8, shape (512, 512)


def _exposed(gain: float) -> Callable[[Planes], Planes]:
    return lambda planes: [np.clip(plane * gain + 0.5, 0, 255).astype(np.uint8) for plane in planes]


def _blurred(sigma_px: float) -> Callable[[Planes], Planes]:
    return lambda planes: [cv2.GaussianBlur(plane, (0, 0), sigma_px) for plane in planes]


def _zoomed_in(factor: int) -> Callable[[Planes], Planes]:
    """The central part of each plane."""
    return lambda planes: [_middle(plane, len(plane) // factor) for plane in planes]


def _zoomed_out(planes: Planes) -> Planes:
    """Twice the field, by mirroring the planes."""
    return [np.block([[plane, plane[:, ::-1]], [plane[::-1], plane[::-1, ::-1]]]) for plane in planes]


def _middle(plane: np.ndarray, side_px: int) -> np.ndarray:
    start = (len(plane) - side_px) // 2
    return plane[start : start + side_px, start : start + side_px]


SHIFTS: dict[str, Callable[[Planes], Planes]] = {
    "none: false alarms": lambda planes: planes,
    "exposure x 0.25": _exposed(0.25),
    "exposure x 0.5": _exposed(0.5),
    "exposure x 2": _exposed(2),
    "exposure x 4": _exposed(4),
    "blur, sigma 4 px": _blurred(4),
    "blur, sigma 8 px": _blurred(8),
    "blur, sigma 16 px": _blurred(16),
    "first two stains swapped": lambda planes: [planes[1], planes[0], *planes[2:]],
    "last two stains swapped": lambda planes: [*planes[:-2], planes[-1], planes[-2]],
    "magnification x 0.5": _zoomed_out,
    "magnification x 2": _zoomed_in(2),
    "magnification x 4": _zoomed_in(4),
}


def _render(number: int) -> Planes:
    return decode_filters(render_sample(OTHER_SERIES, number).pngs, CHANNELS)


def train(folder: Path, num_samples: int, epochs: int, image_size_px: int) -> Path:
    """Runs the pipeline, and returns the model that it trained."""
    arguments = [f"source=synthetic:{num_samples}", f"image_size_px={image_size_px}", f"epochs={epochs}", "weights=none"]
    return run_pipeline(folder, *arguments, "validation_fraction=0.2").artifact("train", "model")


def main() -> None:
    """Trains, shifts and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1600)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--fields", type=int, default=400)
    parser.add_argument("--image-size-px", type=int, default=75)
    options = parser.parse_args()
    print(
        f"\n{options.samples} samples, {options.epochs} epochs at {options.image_size_px} px; {options.fields} fields of "
        f"512 px a shift; {describe_machine()}.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        version = train(Path(folder), options.samples, options.epochs, options.image_size_px)
        trained = read_manifest(str(version))
        model = load_model(str(version), trained, _BATCH_SIZE, Path())
        with Pool() as pool:
            fields = pool.map(_render, range(options.fields))
        print("| Shift | marked as unlike the training images | median distance |\n|---|---:|---:|")
        for name, shift in SHIFTS.items():
            pixels = np.stack([stack_filters(shift(planes), trained.image_size_px) for planes in fields])
            batches = np.split(pixels, range(_BATCH_SIZE, len(pixels), _BATCH_SIZE))
            distances = np.concatenate([model.classify(batch).distances for batch in batches])
            share = np.mean([model.is_unlike_training(float(distance)) for distance in distances])
            print(f"| {name} | {share:.1%} | {np.median(distances):.2f} |", flush=True)


if __name__ == "__main__":
    main()
