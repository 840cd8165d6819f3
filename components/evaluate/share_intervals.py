"""Confidence intervals of precision and recall: exact binomial intervals on the effective number of groups.

Both are shares: recall of the samples that show a class, and precision of the samples for which it is predicted. Samples of a
group are not independent evidence, so they count as `(sum of sizes)^2 / (sum of squared sizes)` samples (Kish, "Survey
Sampling", 1965): all of them if no two share a group, and the number of groups if these are of equal size. The interval is
Clopper and Pearson's (Biometrika 1934) for that number (Korn and Graubard, Survey Methodology 1998). Unlike the jackknife
interval of F1, it has a width even if all are right or all wrong: 3 of 3 give 0.292 to 1.
"""

import numpy as np
from scipy.special import betaincinv

from components.evaluate.f1_intervals import CONFIDENCE, Interval, sums_by_group


def share_intervals(hits: np.ndarray, cases: np.ndarray, groups: np.ndarray) -> list[Interval | None]:
    """The 95 % interval of the share of hits among the cases of each class.

    Args:
        hits: bool, shape (samples, classes): the cases that are right.
        cases: bool, the same shape.
        groups: The group of each sample, numbered from 0 without gaps: shape (samples,).

    Returns:
        One interval per class. None for a class without cases.
    """
    sizes = sums_by_group(cases, groups).astype(np.float64)
    num_hits, num_cases = hits.sum(axis=0), cases.sum(axis=0)
    return [
        _exact(hit / total, total**2 / squares) if total else None
        for hit, total, squares in zip(num_hits, num_cases, np.square(sizes).sum(axis=0), strict=True)
    ]


def _exact(share: float, size: float) -> Interval:
    tail, num_hits = (1 - CONFIDENCE) / 2, share * size
    low = betaincinv(num_hits, size - num_hits + 1, tail) if share > 0 else 0.0
    high = betaincinv(num_hits + 1, size - num_hits, 1 - tail) if share < 1 else 1.0
    return Interval(float(low), float(high))
