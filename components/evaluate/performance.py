"""The metrics of one model on one split, each with its interval."""

from dataclasses import dataclass, replace

import numpy as np

from components.evaluate.blessing import BaselineGain
from components.evaluate.bootstrap import Floats, Resamples, are_common, interval, resample_class_f1, resample_figures
from components.evaluate.metrics import (
    BASELINE_TITLES,
    Answers,
    ClassScore,
    Scores,
    baseline_answers,
    beside_baselines,
    class_scores,
    figures,
    reference_answers,
)


@dataclass(frozen=True)
class Performance:
    """The metrics of a model.

    Attributes:
        metrics: Each metric by its name, its interval as `_low` and `_high`, its baseline as `_baseline`.
        baselines: The metrics of each trivial classifier, by its name.
        references: The metrics of what else they stand beside, by its name.
        classes: The metrics of each class.
        baseline_gains: How far the macro F1 is above each baseline's.
    """

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    references: dict[str, dict[str, float]]
    classes: list[ClassScore]
    baseline_gains: list[BaselineGain]


def measure_performance(scores: Scores, thresholds: np.ndarray, groups: np.ndarray, names: list[str], seed: int) -> Performance:
    """Measures a model.

    Args:
        scores: The model's probabilities for some samples.
        thresholds: float32, shape (classes,).
        groups: The near-duplicate group of each sample, as numbers from 0 on without gaps.
        names: The class names.
        seed: Seeds the resamples.
    """
    y_true = scores.y_true
    answers = Answers(scores.y_score, scores.y_score >= thresholds)
    resamples = Resamples(groups, seed)
    trivial = baseline_answers(y_true)
    baselines = {name: figures(y_true, baseline) for name, baseline in trivial.items()}
    metrics = beside_baselines(figures(y_true, answers), baselines)
    class_f1 = resample_class_f1(y_true, answers.y_pred, resamples)
    for name, values in resample_figures(y_true, answers, class_f1, resamples).items():
        band = interval(metrics[name], values)
        metrics |= {f"{name}_low": max(0.0, band.low), f"{name}_high": band.high if name == "log_loss" else min(1.0, band.high)}
    classes = class_scores(y_true, scores.y_score, thresholds, names)
    for k in np.flatnonzero(are_common(y_true, groups)):
        band = interval(classes[k].f1, class_f1[:, k])
        classes[k] = replace(classes[k], f1_low=max(0.0, band.low), f1_high=min(1.0, band.high))
    return Performance(
        metrics=metrics,
        baselines=baselines,
        references={name: figures(y_true, reference) for name, reference in reference_answers(y_true).items()},
        classes=classes,
        baseline_gains=[
            _baseline_gain(
                BASELINE_TITLES[name],
                metrics["f1_macro"],
                baselines[name]["f1_macro"],
                class_f1 - resample_class_f1(y_true, baseline.y_pred, resamples),
            )
            for name, baseline in trivial.items()
        ],
    )


def _baseline_gain(title: str, f1_macro: float, baseline: float, differences: Floats) -> BaselineGain:
    return BaselineGain(title, baseline, interval(f1_macro - baseline, differences.mean(axis=1)))
