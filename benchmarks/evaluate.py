"""Measures the cost of the evaluation's figures and intervals, at the size of the competition's training set.

    python -m benchmarks.evaluate --samples 31072
    python -m benchmarks.evaluate --samples 31072 --splits 500

Times all figures with their intervals, the thresholds, and the comparison of two models, on scores simulated at the published
class frequencies, where a third of the samples have a near-duplicate. The reference is scikit-learn on the rows of each
resample, timed on a few resamples and extrapolated. With `--splits`, it simulates the coverage of the intervals of macro F1
over the common classes, compared with a bootstrap over all classes; `--samples 0` does only that.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from benchmarks.coverage import CLASSIFIERS, FIGURES, measure_coverage
from benchmarks.machine import describe_machine
from benchmarks.simulation import NAMES, draw_groups, draw_scores, draw_truth
from components.artifacts.labels import NUM_PUBLISHED_SAMPLES
from components.evaluate.bootstrap import NUM_RESAMPLES, Resamples, resample_figures
from components.evaluate.comparison import Contender, compare
from components.evaluate.metrics import Answers, Scores, figures
from components.evaluate.performance import measure_performance
from components.evaluate.thresholds import fit_thresholds

_PLAIN_RESAMPLES = 2
_SPLIT_SIZES = (300, NUM_PUBLISHED_SAMPLES // 10)
_RESAMPLES = 400


def timed(title: str, act: Callable[[], object]) -> float:
    """Prints and returns the seconds that a call takes."""
    started_s = time.perf_counter()
    act()
    seconds = time.perf_counter() - started_s
    print(f"| {title} | {seconds:.1f} |")
    return seconds


def print_coverage(num_splits: int) -> None:
    """Prints the coverage and the width of the 95 % intervals of macro F1."""
    print(f"\n{num_splits} splits each; the bootstrap has {_RESAMPLES} resamples.\n")
    columns = [*(f"{name}, %" for name in FIGURES), "median width", "by bootstrap over all classes, %", "median width"]
    print(f"| Classifier | samples | macro F1 | {' | '.join(columns)} | false alarms of a class, % |")
    print(f"|---|---:|---:|{'---:|' * len(columns)}---:|")
    for classifier in CLASSIFIERS:
        for num_samples in _SPLIT_SIZES:
            found = measure_coverage(classifier, num_samples, num_splits, _RESAMPLES)
            covered = " | ".join(f"{100 * share:.1f}" for share in found.covered.values())
            bootstrap = f"{100 * found.bootstrap_covered:.1f} | {found.bootstrap_width:.3f}"
            cells = f"{found.f1_macro:.3f} | {covered} | {found.width:.3f} | {bootstrap} | {100 * found.false_alarms:.1f}"
            print(f"| {classifier} | {num_samples} | {cells} |", flush=True)


def print_times(num_samples: int) -> None:
    """Prints the time of each part of an evaluation."""
    random = np.random.default_rng(0)
    y_true = draw_truth(num_samples, random)
    groups = draw_groups(num_samples, random)
    new, old = (draw_scores(y_true, skill, random) for skill in (2.0, 1.9))
    thresholds = np.full(y_true.shape[1], 0.3, np.float32)
    answers = Answers(new, new >= thresholds)
    print(f"{num_samples} samples x {y_true.shape[1]} classes, {NUM_RESAMPLES} resamples; {describe_machine()}.\n")
    print("| What | seconds |\n|---|---:|")

    ids = [str(number) for number in range(num_samples)]

    def resample() -> None:
        resample_figures(y_true, answers, Resamples(groups, 0))

    fast = timed("all figures in all resamples", resample)
    timed(
        "the whole scoreboard: that, baselines, classes",
        lambda: measure_performance(Scores(ids, y_true, new), thresholds, groups, NAMES, 0),
    )
    timed("thresholds of both kinds, on folds, with the interval", lambda: fit_thresholds(y_true, new, groups, 0))
    group_of = {name: str(group) for name, group in zip(ids, groups, strict=True)}
    challenger, champion = (Contender(scores, thresholds, ()) for scores in (new, old))
    timed("champion against challenger", lambda: compare(1, challenger, champion, y_true, ids, group_of, NAMES))
    print(f"\nPeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB.")
    started_s = time.perf_counter()
    for _ in range(_PLAIN_RESAMPLES):
        rows = random.integers(num_samples, size=num_samples)
        figures(y_true[rows], Answers(answers.y_score[rows], answers.y_pred[rows]))
    plain = (time.perf_counter() - started_s) / _PLAIN_RESAMPLES * NUM_RESAMPLES
    print(f"scikit-learn on the rows of each resample would take {plain:.0f} s: {plain / fast:.0f} times as long.")


def main() -> None:
    """Simulates the scores and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=NUM_PUBLISHED_SAMPLES)
    parser.add_argument("--splits", type=int, default=0, help="how many splits to simulate for the intervals' coverage")
    options = parser.parse_args()
    if options.samples:
        print_times(options.samples)
    if options.splits:
        print_coverage(options.splits)


if __name__ == "__main__":
    main()
