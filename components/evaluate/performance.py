"""The figures of one model on one side of the split, each with its interval."""

from dataclasses import dataclass, replace

import numpy as np

from components.evaluate.blessing import FloorGain
from components.evaluate.bootstrap import Floats, Resamples, are_common, interval, resample_class_f1, resample_figures
from components.evaluate.metrics import (
    FLOOR_TITLES,
    Answers,
    ClassScore,
    beside_floors,
    class_scores,
    figures,
    floor_answers,
)
from components.evaluate.scores import Scores


@dataclass(frozen=True)
class Performance:
    """What a model got.

    Attributes:
        metrics: Each figure by its name, its interval as `_low` and `_high`, its floor as `_floor`.
        floors: The figures of each floor, by its name.
        classes: The figures of each class.
        floor_gains: How far its macro F1 is above each floor's.
    """

    metrics: dict[str, float]
    floors: dict[str, dict[str, float]]
    classes: list[ClassScore]
    floor_gains: list[FloorGain]


def measure_performance(scores: Scores, thresholds: np.ndarray, groups: np.ndarray, names: list[str], seed: int) -> Performance:
    """Judges a model.

    Args:
        scores: What it says of some samples.
        thresholds: float32, shape (classes,).
        groups: The near-duplicate group of each sample, as numbers from 0 on without gaps.
        names: Of the classes.
        seed: Of the resamples.
    """
    y_true = scores.y_true
    answers = Answers(scores.y_score, scores.y_score >= thresholds)
    resamples = Resamples(groups, seed)
    blind = floor_answers(y_true)
    floors = {name: figures(y_true, floor) for name, floor in blind.items()}
    metrics = beside_floors(figures(y_true, answers), floors)
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
        floors=floors,
        classes=classes,
        floor_gains=[
            _floor_gain(FLOOR_TITLES[name], metrics["f1_macro"], floors[name]["f1_macro"], class_f1 - of_floor)
            for name, of_floor in ((name, resample_class_f1(y_true, floor.y_pred, resamples)) for name, floor in blind.items())
        ],
    )


def _floor_gain(title: str, f1_macro: float, floor: float, differences: Floats) -> FloorGain:
    return FloorGain(title, floor, interval(f1_macro - floor, differences.mean(axis=1)))
