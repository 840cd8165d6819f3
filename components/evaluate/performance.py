"""The metrics of one model on one split, each with its interval."""

from dataclasses import dataclass, replace

import numpy as np

from components.evaluate.blessing import BaselineGain
from components.evaluate.bootstrap import Resamples, interval, resample_figures
from components.evaluate.f1_intervals import ClassF1, Interval, class_f1
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
from components.evaluate.share_intervals import share_intervals


@dataclass(frozen=True)
class Performance:
    """The metrics of a model.

    Attributes:
        metrics: Each metric by its name, its interval as `_low` and `_high`, its baseline as `_baseline`. `f1_macro` has an
            interval only if every class is common, `f1_macro_common` if there are enough groups.
        baselines: The metrics of each trivial classifier, by its name.
        references: The metrics of each reference, by its name.
        classes: The metrics of each class.
        f1: F1 of each class, from which the macro F1 over the common classes and its interval follow.
        baseline_gains: The gain of this macro F1 over each baseline.
    """

    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    references: dict[str, dict[str, float]]
    classes: list[ClassScore]
    f1: ClassF1
    baseline_gains: list[BaselineGain]


def measure_performance(scores: Scores, thresholds: np.ndarray, groups: np.ndarray, names: list[str], seed: int) -> Performance:
    """Measures a model.

    Args:
        scores: The model's probabilities for some samples.
        thresholds: float32, shape (classes,).
        groups: The group of each sample, as numbers from 0 without gaps.
        names: The class names.
        seed: Seeds the resamples.
    """
    y_true = scores.y_true
    answers = Answers(scores.y_score, scores.y_score >= thresholds)
    f1 = class_f1(y_true, answers.y_pred, groups)
    trivial = baseline_answers(y_true)
    baselines = {name: figures(y_true, baseline, f1.is_common) for name, baseline in trivial.items()}
    metrics = beside_baselines(figures(y_true, answers, f1.is_common), baselines)
    resampled = resample_figures(y_true, answers, Resamples(groups, seed))
    intervals = {name: interval(metrics[name], values) for name, values in resampled.items()}
    if of_macro := f1.macro_interval():
        intervals |= {"f1_macro_common": of_macro} | ({"f1_macro": of_macro} if f1.is_common.all() else {})
    for name, (low, high) in intervals.items():
        metrics |= {f"{name}_low": max(0.0, low), f"{name}_high": high if name == "log_loss" else min(1.0, high)}
    classes = [
        replace(
            score, num_groups=int(num_groups), f1_interval=_clip(band), precision_interval=precision, recall_interval=recall
        )
        for score, num_groups, band, precision, recall in zip(
            class_scores(y_true, scores.y_score, thresholds, names),
            f1.num_groups,
            f1.class_intervals(),
            share_intervals(y_true & answers.y_pred, answers.y_pred, groups),
            share_intervals(y_true & answers.y_pred, y_true, groups),
            strict=True,
        )
    ]
    return Performance(
        metrics=metrics,
        baselines=baselines,
        references={name: figures(y_true, reference, f1.is_common) for name, reference in reference_answers(y_true).items()},
        classes=classes,
        f1=f1,
        baseline_gains=[_gain(BASELINE_TITLES[name], f1, class_f1(y_true, y.y_pred, groups)) for name, y in trivial.items()],
    )


def _clip(band: Interval | None) -> Interval | None:
    """Clips an interval to the possible values of F1; None if it has no width."""
    return Interval(max(0.0, band.low), min(1.0, band.high)) if band and band.low < band.high else None


def _gain(title: str, f1: ClassF1, baseline: ClassF1) -> BaselineGain:
    return BaselineGain(title, baseline.macro(), (f1 - baseline).macro_interval())
