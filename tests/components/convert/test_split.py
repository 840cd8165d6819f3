import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.convert.split import SPLITS, split_fractions, split_samples
from components.shared.labels import CLASS_NAMES, parse_target

Labels = Mapping[str, tuple[int, ...]]

_ids = st.text("abcdef0123456789-", min_size=1, max_size=6)
_label_sets = st.frozensets(st.integers(0, 5), max_size=3).map(lambda labels: tuple(sorted(labels)))
_single_labels = st.dictionaries(_ids, st.integers(0, 8).map(lambda label: (label,)), min_size=30, max_size=60)
_labels = st.dictionaries(_ids, _label_sets, min_size=30, max_size=60)
_fractions = st.builds(split_fractions, st.floats(0.05, 0.45), st.sampled_from([0.0, 0.05, 0.2, 0.45]))
_methods = st.sampled_from(["stratified", "random"])
_seeds = st.integers(0, 2**31 - 1)


def _counts(sides: Mapping[str, str]) -> dict[str, int]:
    counted = Counter(sides.values())
    return {side: counted[side] for side in SPLITS}


def _class_counts(sides: Mapping[str, str], labels: Labels) -> Counter[tuple[int, str]]:
    return Counter((label, side) for sample_id, side in sides.items() for label in labels[sample_id])


@given(labels=_labels, method=_methods, fractions=_fractions, seed=_seeds)
def test_every_sample_is_on_one_side_and_only_sides_with_a_share_have_any(
    labels: Labels, method: str, fractions: dict[str, float], seed: int
) -> None:
    sides = split_samples(labels, method, fractions, seed)
    assert sides.keys() == labels.keys()
    assert set(sides.values()) == {side for side in SPLITS if fractions[side] > 0}


@given(labels=_labels, method=_methods, fractions=_fractions, seed=_seeds, order=st.randoms(use_true_random=False))
def test_the_split_is_the_same_again_and_in_any_order(
    labels: Labels, method: str, fractions: dict[str, float], seed: int, order: "st.random.Random"
) -> None:
    shuffled = list(labels)
    order.shuffle(shuffled)
    assert split_samples({name: labels[name] for name in shuffled}, method, fractions, seed) == split_samples(
        labels, method, fractions, seed
    )


@given(labels=_labels, fractions=_fractions, seed=_seeds)
def test_a_random_split_has_exactly_its_shares(labels: Labels, fractions: dict[str, float], seed: int) -> None:
    counts = _counts(split_samples(labels, "random", fractions, seed))
    assert counts["validation"] == round(fractions["validation"] * len(labels))
    assert counts["test"] == round(fractions["test"] * len(labels))


@given(labels=_single_labels, fractions=_fractions, seed=_seeds)
def test_a_class_of_three_samples_or_more_is_on_every_side(labels: Labels, fractions: dict[str, float], seed: int) -> None:
    """With one label a sample that is always possible."""
    sides = split_samples(labels, "stratified", fractions, seed)
    on_sides = _class_counts(sides, labels)
    for label, num_samples in Counter(label for (label,) in labels.values()).items():
        if num_samples >= 3:
            missing = [side for side in SPLITS if fractions[side] > 0 and not on_sides[label, side]]
            assert not missing, f"class {label} of {num_samples} samples is not in {missing}"


@given(labels=_single_labels, seed=_seeds)
def test_every_side_has_its_share_of_every_class_but_for_rounding(labels: Labels, seed: int) -> None:
    """With one label a sample; with several, no split may have every class right: see the label file's below."""
    fractions = split_fractions(0.2, 0.2)
    on_sides = _class_counts(split_samples(labels, "stratified", fractions, seed), labels)
    for label, num_samples in Counter(label for (label,) in labels.values()).items():
        if num_samples >= 5:  # those of fewer are spread so that every side has one
            assert all(abs(on_sides[label, side] - fractions[side] * num_samples) < 1 for side in SPLITS)


def test_another_seed_gives_another_split() -> None:
    labels = {f"s{number}": (number % 3,) for number in range(60)}
    for method in ("stratified", "random"):
        splits = [split_samples(labels, method, split_fractions(0.2, 0.2), seed) for seed in range(5)]
        assert all(one != other for number, one in enumerate(splits) for other in splits[:number])


def test_samples_without_labels_fill_the_sides_up() -> None:
    labels: Labels = {f"s{number}": () for number in range(20)}
    assert _counts(split_samples(labels, "stratified", split_fractions(0.1, 0.1), 0)) == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="validation_fraction and test_fraction leave nothing to train on"):
        split_samples({"a": (0,)}, "random", split_fractions(0.5, 0.5), 0)


@pytest.mark.parametrize("method", ["stratified", "random"])
def test_too_few_samples_for_a_side_are_refused_by_its_name(method: str) -> None:
    with pytest.raises(ValueError, match=r"2 samples are too few for a share of 0\.10 to (validation|test)"):
        split_samples({"a": (0,), "b": (1,)}, method, split_fractions(0.1, 0.1), 0)


def test_the_competitions_label_file_is_split_with_every_class_on_every_side(hpa_dir: Path) -> None:
    with (hpa_dir / "train.csv").open(newline="") as file:
        labels = {row["Id"]: parse_target(row["Target"], len(CLASS_NAMES)) for row in csv.DictReader(file)}
    sides = split_samples(labels, "stratified", split_fractions(0.1, 0.1), 0)
    counts = _counts(sides)
    assert abs(counts["validation"] / len(labels) - 0.1) < 0.005
    assert abs(counts["test"] / len(labels) - 0.1) < 0.005
    on_sides = _class_counts(sides, labels)
    for label in range(len(CLASS_NAMES)):
        total = sum(on_sides[label, side] for side in SPLITS)
        for side in ("validation", "test"):
            assert abs(on_sides[label, side] - 0.1 * total) <= max(1.0, 0.02 * total)


@pytest.mark.parametrize("num_classes", [1, 5, 28])
def test_classes_of_two_samples_leave_no_side_empty(num_classes: int) -> None:
    labels = {f"s{k}": (k // 2 % num_classes,) for k in range(max(10, 2 * num_classes))}
    sides = split_samples(labels, "stratified", split_fractions(0.1, 0.1), seed=0)
    assert set(sides.values()) == set(SPLITS)
    assert list(sides.values()).count("train") >= 0.7 * len(labels)
