"""Measures the gain and cost of per-class thresholds, with and without shrinkage.

    python -m benchmarks.thresholds --seeds 20

It simulates the probabilities of a classifier of varying skill over the classes, at the competition's class frequencies. In the
second half of the tables, each class has its own offset of the log odds, as in networks, which per-class thresholds can
correct. The tables compare macro F1 on the validation split, on which thresholds were fitted, with that on 31072 new samples,
for all classes and for the rare ones.
"""

import argparse
import statistics
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import f1_score

from benchmarks.simulation import draw_groups, draw_scores, draw_truth
from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS
from components.evaluate.thresholds import SHRINKAGE, fit_class_thresholds, fit_common_thresholds, fit_thresholds

_SIZES = (300, NUM_PUBLISHED_SAMPLES // 10)
_SHRINKAGES = (0.0, 5.0, 10.0, 20.0, 80.0)
_OFFSETS = (0.0, 1.0)
_SKILLS = (1.0, 3.5)
# The nine classes with fewer than one sample in 90.
_IS_RARE = np.array(list(PUBLISHED_COUNTS.values())) < NUM_PUBLISHED_SAMPLES / 90


def shift(y_score: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Shifts the log odds by an offset for each class."""
    kept = np.clip(y_score.astype(np.float64), 1e-9, 1 - 1e-9)
    odds = kept / (1 - kept) * np.exp(offsets)
    return (odds / (1 + odds)).astype(np.float32)


def fit_all(y_true: np.ndarray, y_score: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The thresholds by each method, one per class."""
    groups = draw_groups(len(y_true), np.random.default_rng(seed))
    fitted = {"one for all classes": fit_common_thresholds(y_true, y_score)}
    for shrinkage in _SHRINKAGES:
        chosen = " (chosen)" if shrinkage == SHRINKAGE else ""
        title = f"one a class, shrinkage {shrinkage:.0f}{chosen}" if shrinkage else "one a class, no shrinkage"
        fitted[title] = fit_class_thresholds(y_true, y_score, shrinkage)
    return fitted | {"the better by interval (what ships)": fit_thresholds(y_true, y_score, groups, seed).thresholds}


def run_seed(seed: int, size: int, offset: float) -> dict[str, list[float]]:
    """Macro F1 by each method: on validation, on new samples, and of the rare classes on new samples."""
    random = np.random.default_rng(seed)
    skills = random.uniform(*_SKILLS, len(PUBLISHED_COUNTS))
    offsets = random.normal(0, offset, len(PUBLISHED_COUNTS))
    splits = []
    for num_samples in (size, NUM_PUBLISHED_SAMPLES):
        y_true = draw_truth(num_samples, random)
        splits.append((y_true, shift(draw_scores(y_true, skills, random), offsets)))
    found = {}
    for title, thresholds in fit_all(*splits[0], seed).items():
        fitted, kept = (f1_score(y, s >= thresholds, average=None, zero_division=0) for y, s in splits)
        found[title] = [float(fitted.mean()), float(kept.mean()), float(kept[_IS_RARE].mean())]
    return found


def print_table(results: Sequence[dict[str, list[float]]]) -> None:
    """Prints the means over the seeds, and on how many seeds each method is below the single threshold."""
    print("| Thresholds | on validation | on new samples | rare classes, new samples | seeds below the single threshold |")
    print("|---|---:|---:|---:|---:|")
    base = next(iter(results[0]))
    for title in results[0]:
        means = [statistics.mean(result[title][column] for result in results) for column in range(3)]
        below = sum(result[title][1] < result[base][1] for result in results)
        cells = " | ".join(f"{mean:.3f}" for mean in means)
        print(f"| {title} | {cells} | {below if title != base else '-'} |")


def main() -> None:
    """Prints a table for each size of validation split and each kind of classifier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    for offset in _OFFSETS:
        for size in _SIZES:
            kind = f"log odds off by a deviation of {offset}" if offset else "calibrated probabilities"
            print(f"\n{size} validation samples, {kind}, {options.seeds} seeds.\n")
            print_table([run_seed(seed, size, offset) for seed in range(options.seeds)])


if __name__ == "__main__":
    main()
