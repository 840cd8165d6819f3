"""Average precision and ROC AUC of many resamples at once: scikit-learn's with sample weights, but sorting each class once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

# The number of resamples that are processed together: their weights fit into the processor's cache.
_BLOCK = 64
_NUM_THREADS = 2


@dataclass(frozen=True)
class _Ranking:
    """The samples of one class by descending score, and the ranks of its positives.

    A tie is a run of samples with the same score. Only ties with positives count, because recall does not change elsewhere.

    Attributes:
        order: Sample indices.
        positives: Ranks of the positives.
        tie_starts: The position in `positives` at which each tie with positives begins.
        edges: Ranks between which weights are summed, starting at 0.
        begins: For each tie with positives, the number of parts between edges before it.
        ends: The number of parts up to its end.
    """

    order: np.ndarray
    positives: np.ndarray
    tie_starts: np.ndarray
    edges: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


def ranking_resamples(
    y_true: np.ndarray, y_score: np.ndarray, groups: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and ROC AUC of each class in each resample.

    Args:
        y_true: bool, shape (samples, classes).
        y_score: Probabilities, the same shape.
        groups: The group of each sample.
        counts: The number of times that each resample has drawn each group: float32, shape (resamples, groups).

    Returns:
        Two arrays of shape (resamples, classes): NaN if all samples of the resample show the class, or none.
    """
    num_resamples, num_classes = len(counts), y_true.shape[1]
    precision, area = np.full((2, num_resamples, num_classes), np.nan)
    rankings = {k: _rank(y_true[:, k], y_score[:, k]) for k in range(num_classes) if y_true[:, k].any()}

    def fill(start: int) -> None:
        block = slice(start, start + _BLOCK)
        weights = np.ascontiguousarray(counts[block].T)
        for k, ranking in rankings.items():
            precision[block, k], area[block, k] = _weigh(ranking, weights, groups)

    with ThreadPoolExecutor(_NUM_THREADS) as pool:  # NumPy releases the GIL while it works on arrays
        list(pool.map(fill, range(0, num_resamples, _BLOCK)))
    return precision, area


def _rank(y_true: np.ndarray, y_score: np.ndarray) -> _Ranking:
    order = np.argsort(-y_score, kind="stable")
    sorted_scores = y_score[order]
    positives = np.flatnonzero(y_true[order])
    firsts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
    lasts = np.r_[firsts[1:], len(order)]
    ties, tie_starts = np.unique(np.searchsorted(firsts, positives, side="right") - 1, return_index=True)
    edges = np.unique(np.r_[0, firsts[ties], lasts[ties]])
    begins, ends = np.searchsorted(edges, firsts[ties]), np.searchsorted(edges, lasts[ties])
    return _Ranking(order, positives, tie_starts, edges[edges < len(order)], begins, ends)


def _weigh(ranking: _Ranking, weights: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and ROC AUC for each column of the groups' weights, shape (groups, resamples)."""
    ranked = np.take(weights, groups[ranking.order], axis=0)
    parts = np.add.reduceat(ranked, ranking.edges, axis=0)
    above = np.vstack([np.zeros_like(parts[:1]), np.cumsum(parts, axis=0)])
    hits = np.add.reduceat(ranked[ranking.positives], ranking.tie_starts, axis=0)
    found = np.cumsum(hits, axis=0)  # whole numbers far below 2^24: float32 is exact
    num_positive, num_negative = found[-1], above[-1] - found[-1]
    before, until = above[ranking.begins], above[ranking.ends]
    false_alarms = ((before - (found - hits)) + (until - found)) / 2
    with np.errstate(invalid="ignore"):
        precision = (hits * (found / np.maximum(until, 1))).sum(axis=0, dtype=np.float64) / num_positive
        area = 1 - (hits * false_alarms).sum(axis=0, dtype=np.float64) / (num_positive.astype(np.float64) * num_negative)
    defined = (num_positive > 0) & (num_negative > 0)
    return np.where(defined, precision, np.nan), np.where(defined, area, np.nan)
