"""Assigns ids, labels and near-duplicate groups to the numbered samples.

They depend only on the seed and the sample's number, not on the number of samples, so that `synthetic:500` is the start of
`synthetic:31072`. Groups, and the classes that some samples must have, are assigned in blocks of samples.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple

from components.artifacts.labels import CLASS_NAMES, PUBLISHED_COUNTS
from components.synthetic.draws import Draws

# A block of 40 has 33 groups: 28 single samples, 3 pairs and 2 triples, so that 30 % of the samples have a near-duplicate.
BLOCK = 40
GROUP_SIZES = (3, 3, 2, 2, 2) + (1,) * 28
# 7 blocks of 4 classes: each of the 28 classes is guaranteed within the first 280 samples.
GUARANTEED_PER_BLOCK = 4
GUARANTEED_BLOCKS = len(CLASS_NAMES) // GUARANTEED_PER_BLOCK

# Published shares of samples with 1, 2, ... labels, in hundredths of a percent: 48.68, 40.18, 10.17, 0.96, 0.01.
NUM_LABELS_SHARES = (4868, 4018, 1017, 96, 1)

# The first numbers of the keys, so that no two streams of draws are the same.
_BLOCK_STREAM, _GUARANTEE_STREAM, _LABEL_STREAM = 1, 2, 3

_COUNTS = tuple(PUBLISHED_COUNTS.values())
_TOTAL_LABELS = sum(_COUNTS)


class Place(NamedTuple):
    """A sample's place in its block: the first member of its group, and the class that it must have (-1: none)."""

    group: int
    guaranteed: int


def check_number(seed: int, k: int) -> None:
    """Refuses negative seeds and numbers, with a better message than NumPy's.

    Raises:
        ValueError: If either is negative.
    """
    if seed < 0:
        raise ValueError(f"Synthetic samples are generated from a seed: expected a whole number >= 0. Received: seed={seed}")
    if k < 0:
        raise ValueError(f"Synthetic samples are numbered from 0: expected a whole number >= 0. Received: k={k}")


def sample_id(seed: int, k: int) -> str:
    """The id of sample `k`. It looks like the competition's, and reveals neither number nor group nor labels."""
    check_number(seed, k)
    digits = hashlib.sha256(f"synthetic cells {seed} {k}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


def sample_group(seed: int, k: int) -> int:
    """The number of the first member of sample `k`'s near-duplicate group, possibly `k` itself."""
    check_number(seed, k)
    return _places(seed, k // BLOCK)[k % BLOCK].group


def sample_labels(seed: int, k: int) -> tuple[int, ...]:
    """The sorted class indices of sample `k`, which near-duplicates share.

    Over many samples, the classes and the numbers of labels follow the published distributions. Labels are drawn by systematic
    sampling (Madow 1949): the classes are laid out on a line in a random order, each as long as its share, and a comb with one
    tooth for each label is put on it. Each class then has its published frequency, whatever the number of labels.
    """
    check_number(seed, k)
    place = _places(seed, k // BLOCK)[k % BLOCK]
    draws = Draws(_LABEL_STREAM, seed, place.group)
    share = draws.between(1, sum(NUM_LABELS_SHARES))
    num_labels = 1
    while share > sum(NUM_LABELS_SHARES[:num_labels]):
        num_labels += 1
    labels = _comb(draws, num_labels)
    if place.guaranteed >= 0 and place.guaranteed not in labels:
        labels[0] = place.guaranteed
    return tuple(sorted(set(labels)))


def _comb(draws: Draws, num_labels: int) -> list[int]:
    order = draws.shuffled(len(_COUNTS))
    tooth = draws.between(0, _TOTAL_LABELS - 1)
    labels = []
    end = 0
    for label in order:
        end += num_labels * _COUNTS[label]
        if tooth < end:
            labels.append(label)
        # A class longer than the gap between teeth (Nucleoplasm, with 4 labels or more) may be hit twice: it counts once.
        while tooth < end:
            tooth += _TOTAL_LABELS
    return labels


@lru_cache(maxsize=64)
def _places(seed: int, block: int) -> tuple[Place, ...]:
    draws = Draws(_BLOCK_STREAM, seed, block)
    numbers = draws.shuffled(BLOCK)
    guaranteed = [-1] * len(GROUP_SIZES)
    if block < GUARANTEED_BLOCKS:
        classes = Draws(_GUARANTEE_STREAM, seed).shuffled(len(CLASS_NAMES))
        # Groups of one come last: guaranteed classes there change the counts of a small set least.
        for slot in range(GUARANTEED_PER_BLOCK):
            guaranteed[-1 - slot] = classes[block * GUARANTEED_PER_BLOCK + slot]
    places: list[Place] = [Place(0, -1)] * BLOCK
    taken = 0
    for size, label in zip(GROUP_SIZES, guaranteed, strict=True):
        members = numbers[taken : taken + size]
        taken += size
        for member in members:
            places[member] = Place(block * BLOCK + min(members), label)
    return tuple(places)
