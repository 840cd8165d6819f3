"""What the evaluation's figures and intervals cost, at the size of the competition's training set.

    python -m benchmarks.evaluate --samples 31072
    python -m benchmarks.evaluate --samples 31072 --splits 200

Times every figure with its interval, the thresholds, and the comparison of two models, on scores drawn at the published class
frequencies, where a third of the samples have a near-duplicate. Beside it stands the plain way: scikit-learn on the rows of
each resample, timed on a few resamples and scaled up.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import f1_score

from benchmarks.machine import describe_machine
from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS
from components.evaluate.bootstrap import NUM_RESAMPLES, Resamples, interval, resample_class_f1, resample_figures
from components.evaluate.comparison import Contender, compare
from components.evaluate.metrics import Answers, Scores, figures
from components.evaluate.performance import measure_performance
from components.evaluate.thresholds import fit_thresholds

NAMES = list(PUBLISHED_COUNTS)
SHARES = np.array(list(PUBLISHED_COUNTS.values())) / NUM_PUBLISHED_SAMPLES
_PLAIN_RESAMPLES = 2
_SPLIT_SIZES = (44, 300, NUM_PUBLISHED_SAMPLES // 10)
_THRESHOLD = np.float32(0.2)


def draw_truth(num_samples: int, random: np.random.Generator) -> np.ndarray:
    """Labels at the published frequencies: bool, shape (samples, classes)."""
    return random.random((num_samples, len(SHARES))) < SHARES


def draw_scores(y_true: np.ndarray, skill: np.ndarray | float, random: np.random.Generator) -> np.ndarray:
    """Calibrated probabilities of a classifier that sees each class through normal noise: float32, shape of `y_true`.

    Args:
        y_true: bool, shape (samples, classes).
        skill: The distance of the two normal distributions, in standard deviations, for each class.
        random: The source of the noise.
    """
    evidence = skill * y_true + random.normal(size=y_true.shape)
    log_odds = skill * evidence - np.square(skill) / 2 + np.log(SHARES / (1 - SHARES))
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


def draw_groups(num_samples: int, random: np.random.Generator) -> np.ndarray:
    """Groups of one sample or two: numbers from 0 on without gaps."""
    return np.unique(random.integers(0, 2 * num_samples, num_samples), return_inverse=True)[1]


def timed(title: str, act: Callable[[], object]) -> float:
    """Prints how long something took, in seconds."""
    started_s = time.perf_counter()
    act()
    seconds = time.perf_counter() - started_s
    print(f"| {title} | {seconds:.1f} |")
    return seconds


def print_coverage(num_splits: int) -> None:
    """Prints in how many drawn splits the 95 % interval of the macro F1 holds the mean of all their macro F1s."""
    print(f"\n| Samples in a split | its macro F1 | intervals that hold the mean, of {num_splits} |\n|---:|---:|---:|")
    for num_samples in _SPLIT_SIZES:
        random = np.random.default_rng(0)
        skill = random.uniform(0.8, 3.0, len(NAMES))
        found, intervals = [], []
        for seed in range(num_splits):
            y_true = draw_truth(num_samples, random)
            y_pred = draw_scores(y_true, skill, random) >= _THRESHOLD
            found.append(f1_score(y_true, y_pred, average="macro", zero_division=0))
            resamples = Resamples(draw_groups(num_samples, random), seed)
            intervals.append(interval(found[-1], resample_class_f1(y_true, y_pred, resamples).mean(axis=1)))
        mean = float(np.mean(found))
        held = sum(low <= mean <= high for low, high in intervals)
        print(f"| {num_samples} | {mean:.3f} +- {np.std(found):.3f} | {held} |")


def main() -> None:
    """Draws the scores and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=NUM_PUBLISHED_SAMPLES)
    parser.add_argument("--splits", type=int, default=0, help="how many splits to draw for the intervals' coverage")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    y_true = draw_truth(options.samples, random)
    groups = draw_groups(options.samples, random)
    new, old = (draw_scores(y_true, skill, random) for skill in (2.0, 1.9))
    thresholds = np.full(y_true.shape[1], 0.3, np.float32)
    answers = Answers(new, new >= thresholds)
    print(f"{options.samples} samples x {y_true.shape[1]} classes, {NUM_RESAMPLES} resamples; {describe_machine()}.\n")
    print("| What | seconds |\n|---|---:|")

    ids = [str(number) for number in range(options.samples)]

    def resample() -> None:
        resamples = Resamples(groups, 0)
        resample_figures(y_true, answers, resample_class_f1(y_true, answers.y_pred, resamples), resamples)

    fast = timed("all figures in all resamples", resample)
    timed(
        "the whole scoreboard: that, baselines, classes",
        lambda: measure_performance(Scores(ids, y_true, new), thresholds, groups, NAMES, 0),
    )
    timed("thresholds of both kinds, on folds, with the interval", lambda: fit_thresholds(y_true, new, groups, 0))
    group_of = {name: str(group) for name, group in zip(ids, groups, strict=True)}
    challenger, champion = (Contender(scores, thresholds, ()) for scores in (new, old))
    timed("champion against challenger", lambda: compare(1, challenger, champion, y_true, ids, group_of, NAMES, 0))
    print(f"\nPeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB.")
    started_s = time.perf_counter()
    for _ in range(_PLAIN_RESAMPLES):
        rows = random.integers(options.samples, size=options.samples)
        figures(y_true[rows], Answers(answers.y_score[rows], answers.y_pred[rows]))
    plain = (time.perf_counter() - started_s) / _PLAIN_RESAMPLES * NUM_RESAMPLES
    print(f"scikit-learn on the rows of each resample would take {plain:.0f} s: {plain / fast:.0f} times as long.")
    if options.splits:
        print_coverage(options.splits)


if __name__ == "__main__":
    main()
