"""What rules of replacing a champion do to a model that is trained again and again.

    python -m benchmarks.blessing --rounds 40 --seeds 5

In each round a new network is drawn and compared with the champion on one test split of 3107 samples at the published class
frequencies, as the evaluation does it. The networks are all equally good, or a little better or worse in each round than in
the one before. What counts is the macro F1 that the last champion would get on very many images, and how often it changed.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np

from benchmarks.evaluate import draw_groups, draw_scores, draw_truth
from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, f1_macro
from components.evaluate.bootstrap import Resamples, interval, resample_class_f1

_TEST_SAMPLES = NUM_PUBLISHED_SAMPLES // 10
_THRESHOLD = np.float32(0.25)
# How much the distance of the two normal distributions changes from round to round.
_TRENDS = {"equal": 0.0, "a little better each time": 0.02, "a little worse each time": -0.02}

# Whether to replace the champion, by how much more the challenger has measured, and the interval of that.
Rule = Callable[[float, float, float], bool]
RULES: dict[str, Rule] = {
    "better for sure (all of the interval)": lambda _gain, low, _high: low > 0,
    "measured more (what is asked for)": lambda gain, _low, _high: gain > 0,
    "not worse for sure (any of the interval)": lambda _gain, _low, high: high >= 0,
}


def run_seed(seed: int, rounds: int, trend: float) -> dict[str, tuple[int, float]]:
    """By each rule: how often something was pushed, and how much more the last champion truly gets than the first."""
    random = np.random.default_rng(seed)
    y_true = draw_truth(_TEST_SAMPLES, random)
    groups = draw_groups(_TEST_SAMPLES, random)
    resamples = Resamples(groups, seed)
    skill = random.uniform(1.0, 3.0, y_true.shape[1])
    many = draw_truth(NUM_PUBLISHED_SAMPLES, random)
    skills = [np.maximum(skill + trend * number, 0.1) for number in range(rounds + 1)]
    answers = [draw_scores(y_true, one, random) >= _THRESHOLD for one in skills]
    measured = [f1_macro(y_true, y_pred) for y_pred in answers]
    by_resample = [resample_class_f1(y_true, y_pred, resamples).mean(axis=1) for y_pred in answers]
    true_f1 = {
        number: f1_macro(many, draw_scores(many, skills[number], random) >= _THRESHOLD) for number in (0, rounds // 2, rounds)
    }
    slope = np.polynomial.Polynomial.fit(list(true_f1), list(true_f1.values()), 1)
    found = {}
    for name, rule in RULES.items():
        champion = pushes = 0
        for number in range(1, rounds + 1):
            gain = measured[number] - measured[champion]
            if rule(gain, *interval(gain, by_resample[number] - by_resample[champion])):
                champion, pushes = number, pushes + 1
        found[name] = pushes, float(slope(champion) - slope(0)) if trend else 0.0
    return found


def main() -> None:
    """Prints a table of all rules and trends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.rounds} trainings, {_TEST_SAMPLES} test samples, means of {options.seeds} seeds.\n")
    print("| New models are | replaced if | pushes | macro F1 gained |\n|---|---|---:|---:|")
    for title, trend in _TRENDS.items():
        results = [run_seed(seed, options.rounds, trend) for seed in range(options.seeds)]
        for name in RULES:
            pushes, gained = (statistics.mean(result[name][part] for result in results) for part in (0, 1))
            print(f"| {title} | {name} | {pushes:.1f} | {gained:+.3f} |")


if __name__ == "__main__":
    main()
