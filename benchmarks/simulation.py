"""Simulated splits for the benchmarks of evaluate: labels at the published frequencies, and imperfect classifiers."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from components.artifacts.labels import NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS

NAMES = list(PUBLISHED_COUNTS)
SHARES = np.array(list(PUBLISHED_COUNTS.values())) / NUM_PUBLISHED_SAMPLES


def draw_truth(num_samples: int, random: np.random.Generator, correlation: float = 0.0) -> np.ndarray:
    """Labels at the published frequencies: bool, shape (samples, classes).

    Args:
        num_samples: The number of samples.
        random: The source of randomness.
        correlation: The correlation of the normal variables behind an image's labels, negative between halves of the classes.
    """
    if not correlation:
        return random.random((num_samples, len(SHARES))) < SHARES
    signs = np.where(np.arange(len(SHARES)) % 2, -1, 1)
    common, own = random.normal(size=(num_samples, 1)), random.normal(size=(num_samples, len(SHARES)))
    return np.sqrt(correlation) * common * signs + np.sqrt(1 - correlation) * own < ndtri(SHARES)


def draw_scores(
    y_true: np.ndarray, skill: np.ndarray | float, random: np.random.Generator, shared_noise: np.ndarray | float = 0.0
) -> np.ndarray:
    """Calibrated probabilities of a classifier with normal noise on each class: float32, the shape of `y_true`.

    Args:
        y_true: bool, shape (samples, classes).
        skill: The distance of the two normal distributions, in standard deviations, for each class.
        random: The source of the noise.
        shared_noise: Standard normal noise that makes up half of the variance and is shared with other classifiers.
    """
    noise = random.normal(size=y_true.shape)
    if np.ndim(shared_noise):
        noise = np.sqrt(0.5) * (noise + shared_noise)
    log_odds = skill * (skill * y_true + noise) - np.square(skill) / 2 + np.log(SHARES / (1 - SHARES))
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


def draw_groups(num_samples: int, random: np.random.Generator) -> np.ndarray:
    """Near-duplicate groups of mostly one or two samples: numbers from 0 without gaps, shape (samples,)."""
    return np.unique(random.integers(0, 2 * num_samples, num_samples), return_inverse=True)[1]


def draw_split(
    num_samples: int, skills: Sequence[np.ndarray], random: np.random.Generator, correlation: float = 0.0
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """A split whose near-duplicates share their labels and noise.

    Args:
        num_samples: The number of samples.
        skills: The skill of each classifier for each class.
        random: The source of randomness.
        correlation: The correlation of the labels: see `draw_truth`.

    Returns:
        Labels: bool, shape (samples, classes). Groups: shape (samples,). The probabilities of each classifier.
    """
    groups = draw_groups(num_samples, random)
    y_true = draw_truth(int(groups.max()) + 1, random, correlation)
    shared_noise = random.normal(size=y_true.shape)[groups]
    y_true = y_true[groups]
    return y_true, groups, [draw_scores(y_true, skill, random, shared_noise) for skill in skills]
