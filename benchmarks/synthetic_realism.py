"""Compares synthetic with real images: a table of figures per filter, contact sheets, speed and memory.

    HPA_SAMPLES=<folder of the competition's samples> python -m benchmarks.synthetic_realism --out sheets/

The folder has the competition's layout: `train.csv` and `train/<id>_<filter>.png`. Without it, the command fails.
"""

import argparse
import csv
import io
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.artifacts.labels import CLASS_NAMES, FILTERS, parse_target
from components.reports.contact_sheet import contact_sheet
from components.synthetic.samples import render_sample

TILES_A_SHEET = 12


@dataclass(frozen=True)
class Sample:
    """A real sample, read from its four files."""

    sample_id: str
    labels: tuple[int, ...]
    pngs: dict[str, bytes]


def figures(png: bytes) -> dict[str, float]:
    """The figures of a PNG file: its size, histogram and noise.

    Noise is the standard deviation after a 3x3 filter that suppresses constant areas, slopes and straight edges (Immerkaer,
    Fast Noise Variance Estimation, 1996); fine structure adds to it, in real and synthetic images alike.
    """
    pixels = read_pixels(png)
    p50, p75, p95, p99, p999 = np.percentile(pixels, [50, 75, 95, 99, 99.9])
    wide = pixels.astype(np.float64)
    ends = wide[:, :-2] - 2 * wide[:, 1:-1] + wide[:, 2:]
    left_over = ends[:-2] - 2 * ends[1:-1] + ends[2:]
    return {
        "file size, KiB": len(png) / 1024,
        "mean": float(wide.mean()),
        "median": float(p50),
        "75 %": float(p75),
        "95 %": float(p95),
        "99 %": float(p99),
        "99.9 %": float(p999),
        "black, %": float((pixels == 0).mean() * 100),
        "saturated, %": float((pixels == 255).mean() * 100),
        "noise": float(np.abs(left_over).mean() * math.sqrt(math.pi / 2) / 6),
    }


def read_pixels(png: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG file as greyscale."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


def real_samples(folder: Path) -> Iterator[Sample]:
    """The samples of a folder that have all four filters, in the order of train.csv."""
    with (folder / "train.csv").open(newline="") as rows:
        for row in csv.DictReader(rows):
            paths = {name: folder / "train" / f"{row['Id']}_{name}.png" for name in FILTERS}
            if all(path.is_file() for path in paths.values()):
                labels = parse_target(row["Target"], CLASS_NAMES)
                yield Sample(row["Id"], labels, {name: path.read_bytes() for name, path in paths.items()})


def table(real: dict[str, list[dict[str, float]]], made: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: the 5th, 50th and 95th percentiles of each figure, and the share of synthetic ones in the real range."""
    lines = [
        "| filter | figure | real 5 / 50 / 95 % | synthetic 5 / 50 / 95 % | synthetic within real min..max |",
        "|---|---|---|---|---|",
    ]
    for name in FILTERS:
        for figure in real[name][0]:
            ours = np.array([row[figure] for row in made[name]])
            theirs = np.array([row[figure] for row in real[name]])
            spans = [" / ".join(f"{value:.1f}" for value in np.percentile(values, [5, 50, 95])) for values in (theirs, ours)]
            within = ((ours >= theirs.min()) & (ours <= theirs.max())).mean()
            lines.append(f"| {name} | {figure} | {spans[0]} | {spans[1]} | {within:.0%} |")
    return "\n".join(lines)


def write_sheets(real: list[Sample], seed: int, out: Path) -> None:
    """Writes pages of real and of synthetic samples for comparison, in colour and in green alone."""
    out.mkdir(parents=True, exist_ok=True)
    for page, start in enumerate(range(0, min(len(real), 3 * TILES_A_SHEET), TILES_A_SHEET)):
        shown = real[start : start + TILES_A_SHEET]
        made = [render_sample(seed, k) for k in range(start, start + len(shown))]
        for kind, samples in (("real", shown), ("synthetic", made)):
            (out / f"{kind}_{page}.png").write_bytes(contact_sheet(samples, CLASS_NAMES, columns=4, tile_px=300))
            (out / f"{kind}_{page}_green.png").write_bytes(
                contact_sheet(samples, CLASS_NAMES, columns=4, tile_px=300, filters=("green",))
            )


def peak_memory_mib() -> float:
    """The peak memory of this process."""
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def main() -> int:
    """Runs the comparison. Returns 1 if there are no real samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPA_SAMPLES", ""))
    parser.add_argument("--samples", type=int, default=128, help="synthetic samples to measure (default 128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for contact sheets (default: none are written)")
    given = parser.parse_args()
    if not (given.folder / "train.csv").is_file():
        print(f"No real samples to compare with: expected train.csv and train/ in the folder. Received: {given.folder}")
        return 1
    render_sample(given.seed, 0)  # the textures are made once per process
    made: dict[str, list[dict[str, float]]] = {name: [] for name in FILTERS}
    spent_s, early_mib = 0.0, 0.0
    for k in range(given.samples):
        start = time.process_time()
        sample = render_sample(given.seed, k)
        spent_s += time.process_time() - start
        for name, png in sample.pngs.items():
            made[name].append(figures(png))
        if k == min(8, given.samples - 1):
            early_mib = peak_memory_mib()
    late_mib = peak_memory_mib()
    real = list(real_samples(given.folder))
    measured = {name: [figures(sample.pngs[name]) for sample in real] for name in FILTERS}
    print(f"{len(real)} real samples, {given.samples} synthetic ones of seed {given.seed}\n")
    print(table(measured, made))
    print(f"\nRate: {given.samples / spent_s:.1f} samples/s on one core, PNG files included.")
    print(f"Peak memory: {early_mib:.0f} MiB after 9 samples, {late_mib:.0f} MiB after {given.samples}.")
    if given.out:
        write_sheets(real, given.seed, given.out)
        print(f"Contact sheets: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
