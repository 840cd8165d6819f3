"""Which side of the split each sample is on: train, validation or test."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from components.convert.split.near_duplicates import Link, group_samples
from components.convert.split.stratify import Counts, stratify
from components.runtime.wording import count_of

SPLITS = ("train", "validation", "test")

Labels = Mapping[str, tuple[int, ...]]


def split_fractions(validation_fraction: float, test_fraction: float) -> dict[str, float]:
    """The share of each side; training gets the rest."""
    return {"train": 1.0 - validation_fraction - test_fraction, "validation": validation_fraction, "test": test_fraction}


def split_samples(
    labels: Labels,
    method: str,
    fractions: Mapping[str, float],
    seed: int,
    batches: Mapping[str, int] | None = None,
    links: Collection[Link] = (),
) -> dict[str, str]:
    """Assigns every sample to a side.

    The result depends on the ids, the labels, the batches, the links and the seed, never on their order. Batch after batch is
    split, so that all samples together come near the shares; what later batches bring never moves an earlier sample. A new
    sample goes where its earlier near-duplicates are. Where these are on two sides already, because the new sample is the first
    to link them, it goes to train: such a group is torn, and `torn_groups` names it.

    Args:
        labels: Class indices by sample id.
        method: `grouped`, which keeps near-duplicates on one side, gives every side its share of every class, and puts every
            class with at least three groups on every side, as far as classes that share groups and earlier batches leave it
            possible; or `random`, the paper's.
        fractions: The share of each side. They sum to 1.
        seed: Another seed gives another split.
        batches: Which ingest added each sample. Without, all are of the first.
        links: Pairs that stay on one side: near-duplicates, and samples that the source puts into one group.

    Returns:
        The side of each sample id.

    Raises:
        ValueError: If training would get nothing, or a side with a share would.
    """
    if fractions["train"] <= 0:
        raise ValueError(f"validation_fraction and test_fraction leave nothing to train on. Received: {dict(fractions)}")
    ids = sorted(labels, key=lambda sample_id: hashlib.sha256(f"{seed}:{sample_id}".encode()).digest())
    sides: dict[str, str] = {}
    batch_of = dict.fromkeys(ids, 0) if batches is None else {sample_id: batches[sample_id] for sample_id in ids}
    for batch in sorted(set(batch_of.values())):
        so_far = [sample_id for sample_id in ids if batch_of[sample_id] <= batch]
        if method == "random":
            sides |= _split_random(so_far, sides, fractions)
        else:
            sides |= _split_grouped(so_far, sides, labels, fractions, links)
    for side, fraction in fractions.items():
        if fraction > 0 and side not in sides.values():
            num_groups = len(set(group_samples(ids, links).values()))
            of_groups = f" in {count_of(num_groups, 'group')} that stay together" if num_groups < len(ids) else ""
            raise ValueError(
                f"{count_of(len(ids), 'sample')}{of_groups}: too few for a share of {fraction:.2f} to {side}: "
                "give more, or another share"
            )
    return sides


def _split_random(ids: Sequence[str], sides: Mapping[str, str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Cuts those ids that have no side, which come in random order, into consecutive parts."""
    new = [sample_id for sample_id in ids if sample_id not in sides]
    parts: list[str] = []
    for side in ("validation", "test"):
        parts += [side] * (round(fractions[side] * len(ids)) - list(sides.values()).count(side))
    return dict(zip(new, parts + ["train"] * (len(new) - len(parts)), strict=False))


def _split_grouped(
    ids: Sequence[str], sides: Mapping[str, str], labels: Labels, fractions: Mapping[str, float], links: Iterable[Link]
) -> dict[str, str]:
    """Puts those ids that have no side where their near-duplicates are, and stratifies the rest by group."""
    groups: dict[str, list[str]] = {}
    for sample_id, group in group_samples(ids, links).items():
        groups.setdefault(group, []).append(sample_id)
    placed = dict(sides)
    new_groups = []
    for members in groups.values():
        known = {sides[sample_id] for sample_id in members if sample_id in sides}
        if known:
            side = known.pop() if len(known) == 1 else "train"
            placed |= {sample_id: side for sample_id in members if sample_id not in sides}
        else:
            new_groups.append(members)
    names = [side for side in SPLITS if fractions[side] > 0]
    num_columns = max((label for sample_id in ids for label in labels[sample_id]), default=-1) + 2
    on_side = [
        _count([[m for m in members if placed.get(m) == name] for members in groups.values()], labels, num_columns)
        for name in names
    ]
    positions = stratify(
        _count(new_groups, labels, num_columns),
        np.array([fractions[name] for name in names]),
        np.stack([counts.sum(axis=0) for counts in on_side]),
        np.stack([(counts > 0).sum(axis=0) for counts in on_side]),
    )
    for members, position in zip(new_groups, positions, strict=True):
        placed |= dict.fromkeys(members, names[position])
    return placed


def _count(groups: Sequence[Sequence[str]], labels: Labels, num_columns: int) -> Counts:
    """Samples of each class in each group, and in the last column all its samples."""
    counts = np.zeros((len(groups), num_columns), np.int64)
    for row, members in enumerate(groups):
        for sample_id in members:
            counts[row, [*labels[sample_id], -1]] += 1
    return counts
