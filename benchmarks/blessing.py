"""Compares rules for replacing a champion when a model is retrained repeatedly.

    python -m benchmarks.blessing --rounds 40 --seeds 20

In each round a new network is simulated and compared with the champion on one test split of 3107 samples at the published class
frequencies, as in the evaluation: by the macro F1 over common classes. The networks are all equally good, or a little better or
worse in each round than in the one before. The results are the macro F1 that the last champion would get on very many images,
and how often the champion changed.

A champion is selected by its score on the test split, which makes that score optimistic. The optimism is its difference from
the mean score of all equally good networks on the same split.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np

from benchmarks.simulation import SHARES, draw_scores, draw_split, draw_truth
from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, f1_macro
from components.evaluate.f1_intervals import class_f1

_TEST_SAMPLES = NUM_PUBLISHED_SAMPLES // 10
_THRESHOLD = np.float32(0.25)
# How much the distance of the two normal distributions changes from round to round.
_TRENDS = {"equal": 0.0, "a little better each time": 0.02, "a little worse each time": -0.02}

# Whether to replace the champion, given the challenger's gain and its interval.
Rule = Callable[[float, float, float], bool]
RULES: dict[str, Rule] = {
    "significantly better (the whole interval is above 0)": lambda _gain, low, _high: low > 0,
    "its score is higher (the rule of this pipeline)": lambda gain, _low, _high: gain > 0,
    "not significantly worse (the interval is not wholly below 0)": lambda _gain, _low, high: high >= 0,
}


def run_seed(seed: int, rounds: int, trend: float) -> dict[str, tuple[int, float, float]]:
    """For each rule: the number of pushes, the true gain of the last champion over the first, and its optimism."""
    random = np.random.default_rng(seed)
    skill = random.uniform(1.0, 3.0, len(SHARES))
    skills = [np.maximum(skill + trend * number, 0.1) for number in range(rounds + 1)]
    y_true, groups, scores = draw_split(_TEST_SAMPLES, skills, random)
    found_f1 = [class_f1(y_true, y_score >= _THRESHOLD, groups) for y_score in scores]
    measured = [f1.values[f1.is_common].mean() for f1 in found_f1]
    many = draw_truth(NUM_PUBLISHED_SAMPLES, random)
    common = found_f1[0].is_common
    true_f1 = {
        number: f1_macro(many[:, common], (draw_scores(many, skills[number], random) >= _THRESHOLD)[:, common])
        for number in (0, rounds // 2, rounds)
    }
    slope = np.polynomial.Polynomial.fit(list(true_f1), list(true_f1.values()), 1)
    found = {}
    for name, rule in RULES.items():
        champion = pushes = 0
        for number in range(1, rounds + 1):
            gain = measured[number] - measured[champion]
            band = (found_f1[number] - found_f1[champion]).macro_interval()
            if band and rule(gain, *band):
                champion, pushes = number, pushes + 1
        gained = float(slope(champion) - slope(0)) if trend else 0.0
        found[name] = pushes, gained, float(measured[champion] - np.mean(measured)) if not trend else np.nan
    return found


def main() -> None:
    """Prints a table of all rules and trends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    print(f"{options.rounds} training runs, {_TEST_SAMPLES} test samples, means of {options.seeds} seeds.\n")
    print("| New models are | replaced if | pushes | macro F1 gained | the champion's optimism |\n|---|---|---:|---:|---:|")
    for title, trend in _TRENDS.items():
        results = [run_seed(seed, options.rounds, trend) for seed in range(options.seeds)]
        for name in RULES:
            pushes, gained, optimism = (statistics.mean(result[name][part] for result in results) for part in range(3))
            bias = "-" if trend else f"{optimism:+.3f}"
            print(f"| {title} | {name} | {pushes:.1f} | {gained:+.3f} | {bias} |")


if __name__ == "__main__":
    main()
