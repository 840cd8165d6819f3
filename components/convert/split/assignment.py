"""Splits samples into train, validation and test."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from components.convert.split.near_duplicates import Link, group_samples
from components.convert.split.stratify import Counts, stratify
from components.runtime.wording import count_of

SPLITS = ("train", "validation", "test")

Labels = Mapping[str, tuple[int, ...]]


def split_fractions(validation_fraction: float, test_fraction: float) -> dict[str, float]:
    """The share of each split; train gets the rest."""
    return {"train": 1.0 - validation_fraction - test_fraction, "validation": validation_fraction, "test": test_fraction}


def split_samples(
    labels: Labels,
    method: str,
    fractions: Mapping[str, float],
    seed: int,
    batches: Mapping[str, int] | None = None,
    links: Collection[Link] = (),
) -> dict[str, str]:
    """Assigns every sample to a split.

    The result depends on the ids, the labels, the batches, the links and the seed, but not on their order. Batches are split
    one after another, so that all samples together approach the shares; later batches never move an earlier sample. A new
    sample joins its earlier near-duplicates. If these are already in two splits, because the new sample is the first to link
    them, it goes to train, and `torn_groups` names the group.

    Args:
        labels: Class indices by sample id.
        method: `grouped` keeps near-duplicates in one split, gives every split its share of every class, and puts every class
            with at least three groups into every split, unless shared groups or earlier batches make it impossible. `random`
            is the paper's method.
        fractions: The share of each split. They sum to 1.
        seed: Another seed gives another split.
        batches: The ingest that added each sample. By default, all are from the first.
        links: Pairs that stay in one split: near-duplicates, and samples of a group in the source's table.

    Returns:
        The split of each sample id.

    Raises:
        ValueError: If train, or a split with a share, would be empty.
    """
    if fractions["train"] <= 0:
        raise ValueError(
            f"validation_fraction and test_fraction leave nothing to train on: reduce them. Received: {dict(fractions)}"
        )
    ids = sorted(labels, key=lambda sample_id: hashlib.sha256(f"{seed}:{sample_id}".encode()).digest())
    split_of: dict[str, str] = {}
    batch_of = dict.fromkeys(ids, 0) if batches is None else {sample_id: batches[sample_id] for sample_id in ids}
    for batch in sorted(set(batch_of.values())):
        so_far = [sample_id for sample_id in ids if batch_of[sample_id] <= batch]
        if method == "random":
            split_of |= _split_random(so_far, split_of, fractions)
        else:
            split_of |= _split_grouped(so_far, split_of, labels, fractions, links)
    for split, fraction in fractions.items():
        if fraction > 0 and split not in split_of.values():
            num_groups = len(set(group_samples(ids, links).values()))
            samples, advice = count_of(len(ids), "sample"), "Give more samples, or change the share"
            if num_groups < len(ids):
                samples += f" in {count_of(num_groups, 'group')} that stay together"
                advice += ". Near-duplicates, and samples with the same value in group_column, are in one group"
            raise ValueError(f"{samples}: too few for a share of {fraction:.2f} in {split}. {advice}")
    return split_of


def _split_random(ids: Sequence[str], split_of: Mapping[str, str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Cuts the ids without a split, which are in random order, into consecutive parts."""
    new = [sample_id for sample_id in ids if sample_id not in split_of]
    parts: list[str] = []
    for split in ("validation", "test"):
        parts += [split] * (round(fractions[split] * len(ids)) - list(split_of.values()).count(split))
    return dict(zip(new, parts + ["train"] * (len(new) - len(parts)), strict=False))


def _split_grouped(
    ids: Sequence[str], split_of: Mapping[str, str], labels: Labels, fractions: Mapping[str, float], links: Iterable[Link]
) -> dict[str, str]:
    """Assigns ids without a split to that of their near-duplicates, and stratifies the rest by group."""
    groups: dict[str, list[str]] = {}
    for sample_id, group in group_samples(ids, links).items():
        groups.setdefault(group, []).append(sample_id)
    placed = dict(split_of)
    new_groups = []
    for members in groups.values():
        known = {split_of[sample_id] for sample_id in members if sample_id in split_of}
        if known:
            split = known.pop() if len(known) == 1 else "train"
            placed |= {sample_id: split for sample_id in members if sample_id not in split_of}
        else:
            new_groups.append(members)
    names = [split for split in SPLITS if fractions[split] > 0]
    num_columns = max((label for sample_id in ids for label in labels[sample_id]), default=-1) + 2
    per_split = [
        _count([[m for m in members if placed.get(m) == name] for members in groups.values()], labels, num_columns)
        for name in names
    ]
    positions = stratify(
        _count(new_groups, labels, num_columns),
        np.array([fractions[name] for name in names]),
        np.stack([counts.sum(axis=0) for counts in per_split]),
        np.stack([(counts > 0).sum(axis=0) for counts in per_split]),
    )
    for members, position in zip(new_groups, positions, strict=True):
        placed |= dict.fromkeys(members, names[position])
    return placed


def _count(groups: Sequence[Sequence[str]], labels: Labels, num_columns: int) -> Counts:
    """The number of samples of each class in each group; the last column counts all samples."""
    counts = np.zeros((len(groups), num_columns), np.int64)
    for row, members in enumerate(groups):
        for sample_id in members:
            counts[row, [*labels[sample_id], -1]] += 1
    return counts
