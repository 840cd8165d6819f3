"""Which side of the split each sample is on: train, validation or test."""

import hashlib
from collections import Counter
from collections.abc import Mapping

SPLITS = ("train", "validation", "test")
# From this many samples on, a class is wanted on every side.
_MIN_SAMPLES_FOR_ALL_SIDES = 3


def split_fractions(validation_fraction: float, test_fraction: float) -> dict[str, float]:
    """The share of each side; training gets the rest."""
    return {"train": 1.0 - validation_fraction - test_fraction, "validation": validation_fraction, "test": test_fraction}


def split_samples(
    labels: Mapping[str, tuple[int, ...]], method: str, fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Assigns every sample to a side. The result depends on the ids, the labels and the seed, never on their order.

    Args:
        labels: Class indices by sample id.
        method: `random`, the paper's; or `stratified`, which gives every side its share of every class.
        fractions: The share of each side. They sum to 1.
        seed: Another seed gives another split.

    Returns:
        The side of each sample id.

    Raises:
        ValueError: If training would get nothing, or a side with a share would.
    """
    if fractions["train"] <= 0:
        raise ValueError(f"validation_fraction and test_fraction leave nothing to train on. Received: {dict(fractions)}")
    ids = sorted(labels, key=lambda sample_id: hashlib.sha256(f"{seed}:{sample_id}".encode()).digest())
    sides = _stratified(ids, labels, fractions) if method == "stratified" else _random(ids, fractions)
    for side, fraction in fractions.items():
        if fraction > 0 and side not in sides.values():
            raise ValueError(
                f"{len(ids)} samples are too few for a share of {fraction:.2f} to {side}: give more, or another share"
            )
    return sides


def _random(ids: list[str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Cuts the ids, which come in random order, into consecutive parts."""
    num_validation = round(fractions["validation"] * len(ids))
    num_test = round(fractions["test"] * len(ids))
    sides = ["validation"] * num_validation + ["test"] * num_test
    return dict(zip(ids, sides + ["train"] * (len(ids) - len(sides)), strict=True))


def _stratified(ids: list[str], labels: Mapping[str, tuple[int, ...]], fractions: Mapping[str, float]) -> dict[str, str]:
    """Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011).

    The rarest class goes first: each of its samples goes to the side that still wants the class most, then to the side that
    wants most samples. Beyond the method: a class of three samples or more is wanted at least once on every side, which
    rounding would deny to rare classes.
    """
    sides = [side for side in SPLITS if fractions[side] > 0]
    waiting: dict[int, list[str]] = {}
    for sample_id in ids:
        for label in labels[sample_id]:
            waiting.setdefault(label, []).append(sample_id)
    wanted = {label: _wanted(len(members), sides, fractions) for label, members in waiting.items()}
    room = {side: fractions[side] * len(ids) for side in sides}
    assigned: dict[str, str] = {}

    def assign(sample_id: str, side: str) -> None:
        assigned[sample_id] = side
        room[side] -= 1
        for label in labels[sample_id]:
            wanted[label][side] -= 1

    while waiting:
        waiting = {label: left for label, members in waiting.items() if (left := [m for m in members if m not in assigned])}
        if not waiting:
            break
        rarest = min(waiting, key=lambda label: (len(waiting[label]), label))
        for sample_id in waiting.pop(rarest):
            assign(sample_id, max(sides, key=lambda side: (wanted[rarest][side], room[side])))
    for sample_id in ids:  # samples without any label
        if sample_id not in assigned:
            assign(sample_id, max(sides, key=room.__getitem__))
    for side in sides:
        if side not in assigned.values():
            assigned |= dict.fromkeys(_spare(ids, labels, assigned, round(fractions[side] * len(ids))), side)
    return assigned


def _spare(ids: list[str], labels: Mapping[str, tuple[int, ...]], assigned: Mapping[str, str], num_spared: int) -> list[str]:
    """Training samples whose classes training has most of: for a side that every class was too rare to send anything to."""
    training = [sample_id for sample_id in ids if assigned[sample_id] == "train"]
    counts = Counter(label for sample_id in training for label in labels[sample_id])
    by_plenty = sorted(training, key=lambda sample_id: -min((counts[label] for label in labels[sample_id]), default=0))
    return by_plenty[: min(num_spared, len(training) - 1)]


def _wanted(num_members: int, sides: list[str], fractions: Mapping[str, float]) -> dict[str, float]:
    """How many samples of a class each side wants: its share, and of a class that suffices for all sides at least one.

    What the others then lack is taken from the sides that want more than one.
    """
    wanted = {side: fractions[side] * num_members for side in sides}
    if num_members < _MIN_SAMPLES_FOR_ALL_SIDES or min(wanted.values()) >= 1:
        return wanted
    above_one = {side: max(0.0, want - 1) for side, want in wanted.items()}
    kept = (num_members - len(sides)) / sum(above_one.values())
    return {side: 1 + kept * above for side, above in above_one.items()}
