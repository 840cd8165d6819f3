import csv
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.labels import CLASS_NAMES, parse_target
from components.convert.split.assignment import SPLITS, split_fractions, split_samples
from components.convert.split.near_duplicates import Link, group_samples, torn_groups

Labels = Mapping[str, tuple[int, ...]]

_label_sets = st.sampled_from([labels for size in range(4) for labels in itertools.combinations(range(6), size)])
_single_labels = st.integers(0, 8).map(lambda label: (label,))
_fractions = st.builds(split_fractions, st.floats(0.05, 0.45), st.sampled_from([0.0, 0.05, 0.2, 0.45]))
_methods = st.sampled_from(["grouped", "random"])
_seeds = st.integers(0, 2**31 - 1)


@dataclass(frozen=True)
class Series:
    """Samples in up to three batches, with groups of near-duplicates that may span batches."""

    labels: dict[str, tuple[int, ...]]
    batches: dict[str, int]
    links: list[Link]

    def up_to(self, batch: int) -> "Series":
        ids = [sample_id for sample_id in self.labels if self.batches[sample_id] <= batch]
        links = [(one, other) for one, other in self.links if one in ids and other in ids]
        return Series({name: self.labels[name] for name in ids}, {name: self.batches[name] for name in ids}, links)

    def groups(self) -> dict[str, str]:
        return group_samples(self.labels, self.links)

    def split(self, method: str, fractions: Mapping[str, float], seed: int) -> dict[str, str]:
        return split_samples(self.labels, method, fractions, seed, self.batches, self.links)


@st.composite
def _series(draw: st.DrawFn, label_sets: st.SearchStrategy[tuple[int, ...]] = _label_sets, last_batch: int = 2) -> Series:
    """The first ten samples are in the first batch and have no near-duplicates in it, so that no split is empty."""
    rows = draw(st.lists(st.tuples(label_sets, st.integers(0, last_batch)), min_size=30, max_size=60))
    labels = {f"{number:02x}": labels for number, (labels, _) in enumerate(rows)}
    batches = {name: batch if number >= 10 else 0 for number, (name, (_, batch)) in enumerate(zip(labels, rows, strict=True))}
    positions = st.integers(0, len(rows) - 1)
    ids = list(labels)
    links = [(ids[one], ids[other]) for one, other in draw(st.lists(st.tuples(positions, positions), max_size=25))]
    links = [link for link in links if min(link) > ids[9] or {batches[name] for name in link} != {0}]
    return Series(labels, batches, links)


def _counts(split_of: Mapping[str, str]) -> dict[str, int]:
    counted = Counter(split_of.values())
    return {split: counted[split] for split in SPLITS}


def _class_counts(split_of: Mapping[str, str], labels: Labels) -> Counter[tuple[int, str]]:
    return Counter((label, split) for sample_id, split in split_of.items() for label in labels[sample_id])


@given(series=_series(), method=_methods, fractions=_fractions, seed=_seeds)
def test_every_sample_is_in_one_split_and_splits_without_a_share_are_empty(
    series: Series, method: str, fractions: dict[str, float], seed: int
) -> None:
    split_of = series.split(method, fractions, seed)
    assert split_of.keys() == series.labels.keys()
    assert set(split_of.values()) == {split for split in SPLITS if fractions[split] > 0}


@given(series=_series(), method=_methods, fractions=_fractions, seed=_seeds, order=st.randoms(use_true_random=False))
def test_the_split_is_reproducible_in_any_order(
    series: Series, method: str, fractions: dict[str, float], seed: int, order: random.Random
) -> None:
    ids = list(series.labels)
    order.shuffle(ids)
    links = [(other, one) for one, other in series.links]
    order.shuffle(links)
    shuffled = Series({name: series.labels[name] for name in ids}, {name: series.batches[name] for name in ids}, links)
    assert shuffled.split(method, fractions, seed) == series.split(method, fractions, seed)


@given(series=_series(last_batch=0), fractions=_fractions, seed=_seeds)
def test_groups_within_one_batch_are_not_divided(series: Series, fractions: dict[str, float], seed: int) -> None:
    assert torn_groups(series.groups(), series.split("grouped", fractions, seed)) == []


@given(series=_series(), method=_methods, fractions=_fractions, seed=_seeds)
def test_earlier_samples_keep_their_split_when_data_grows(
    series: Series, method: str, fractions: dict[str, float], seed: int
) -> None:
    final = series.split(method, fractions, seed)
    for batch in (0, 1):
        before = series.up_to(batch)
        assert before.split(method, fractions, seed) == {name: final[name] for name in before.labels}


@given(series=_series(), fractions=_fractions, seed=_seeds)
def test_a_new_sample_joins_its_near_duplicates_or_train_if_they_are_in_two_splits(
    series: Series, fractions: dict[str, float], seed: int
) -> None:
    split_of = series.split("grouped", fractions, seed)
    for batch in (1, 2):
        groups = series.up_to(batch).groups()
        for group in set(groups.values()):
            members = [name for name in groups if groups[name] == group]
            earlier = {split_of[name] for name in members if series.batches[name] < batch}
            new = {split_of[name] for name in members if series.batches[name] == batch}
            if earlier and new:
                assert new == (earlier if len(earlier) == 1 else {"train"})
            assert len(new) <= 1


@given(series=_series(), fractions=_fractions, seed=_seeds)
def test_only_a_new_sample_that_links_two_splits_divides_a_group(
    series: Series, fractions: dict[str, float], seed: int
) -> None:
    split_of = series.split("grouped", fractions, seed)
    groups = series.groups()
    before = series.up_to(1).groups()
    for group in torn_groups(groups, split_of):
        members = [name for name in groups if groups[name] == group]
        parts = {before[name] for name in members if name in before}
        assert len(parts) > 1 or set(torn_groups(before, {name: split_of[name] for name in before})) & parts


@given(series=_series(), fractions=_fractions, seed=_seeds)
def test_a_random_split_has_exactly_its_shares(series: Series, fractions: dict[str, float], seed: int) -> None:
    one_batch = Series(series.labels, dict.fromkeys(series.labels, 0), series.links)
    counts = _counts(one_batch.split("random", fractions, seed))
    assert counts["validation"] == round(fractions["validation"] * len(series.labels))
    assert counts["test"] == round(fractions["test"] * len(series.labels))


@given(series=_series(st.just(())), fractions=_fractions, seed=_seeds)
def test_without_classes_splits_have_their_shares_to_within_one_group(
    series: Series, fractions: dict[str, float], seed: int
) -> None:
    first = series.up_to(0)
    counts = _counts(first.split("grouped", fractions, seed))
    largest = max(Counter(first.groups().values()).values())
    for split in SPLITS:
        assert abs(counts[split] - fractions[split] * len(first.labels)) <= largest


@given(series=_series(_single_labels, last_batch=0), fractions=_fractions, seed=_seeds)
def test_a_class_of_at_least_three_groups_is_in_every_split(series: Series, fractions: dict[str, float], seed: int) -> None:
    """This is always possible with one class per group."""
    groups = series.groups()
    labels = {name: series.labels[groups[name]] for name in series.labels}
    split_of = split_samples(labels, "grouped", fractions, seed, links=series.links)
    per_split = _class_counts(split_of, labels)
    for label, num_groups in Counter(labels[group][0] for group in set(groups.values())).items():
        if num_groups >= 3:
            missing = [split for split in SPLITS if fractions[split] > 0 and not per_split[label, split]]
            assert not missing, f"class {label} of {num_groups} groups is not in {missing}"


def test_classes_that_share_their_only_groups_are_in_every_split() -> None:
    """Nine samples in a square with a class for each row, column and falling diagonal: a solution is a Latin square."""
    labels = {f"{y}{x}": (y, 3 + x, 6 + (x - y) % 3) for y, x in itertools.product(range(3), repeat=2)}
    for seed in range(20):
        per_split = _class_counts(split_samples(labels, "grouped", split_fractions(0.1, 0.1), seed), labels)
        assert all(per_split[label, split] == 1 for label in range(9) for split in SPLITS)


def test_classes_are_in_every_split_if_a_hidden_solution_exists() -> None:
    """Each class is in one sample of each of three sets, which the algorithm does not know."""
    for seed in range(40):
        draws = random.Random(seed)
        bearers = [[f"{part}{draws.randrange(4)}" for part in "abc"] for _ in range(9)]
        ids = [f"{part}{number}" for part in "abc" for number in range(4)]
        labels = {name: tuple(label for label in range(9) if name in bearers[label]) for name in ids}
        per_split = _class_counts(split_samples(labels, "grouped", split_fractions(0.1, 0.1), seed), labels)
        assert all(per_split[label, split] == 1 for label in range(9) for split in SPLITS)


def test_classes_that_cannot_all_be_in_every_split_are_in_most() -> None:
    """Seven classes, any two of which share one of seven samples (the Fano plane): no two splits can both contain all."""
    lines = [{k, (k + 1) % 7, (k + 3) % 7} for k in range(7)]
    labels = {f"s{k}": tuple(line for line in range(7) if k in lines[line]) for k in range(7)}
    per_split = _class_counts(split_samples(labels, "grouped", split_fractions(0.1, 0.1), 0), labels)
    assert 14 <= sum(per_split[label, split] > 0 for label in range(7) for split in SPLITS) < 21


def test_a_class_that_grows_to_three_groups_reaches_the_splits_that_lack_it() -> None:
    common = {f"c{k:02d}": (0,) for k in range(40)}
    labels = common | {"r0": (1,)} | {"r1": (1,), "r2": (1,)}
    batches = dict.fromkeys(labels, 0) | {"r1": 1, "r2": 1}
    for seed in range(10):
        split_of = split_samples(labels, "grouped", split_fractions(0.1, 0.1), seed, batches)
        assert {split_of["r0"], split_of["r1"], split_of["r2"]} == set(SPLITS)


def test_many_small_batches_reach_the_same_shares_as_one() -> None:
    labels = {f"s{k:03d}": (k % 3,) for k in range(200)}
    batches = {name: 0 if k < 20 else 1 + (k - 20) // 2 for k, name in enumerate(labels)}
    for method in ("grouped", "random"):
        split_of = split_samples(labels, method, split_fractions(0.1, 0.1), 0, batches)
        assert _counts(split_of) == {"train": 160, "validation": 20, "test": 20}


@given(more=st.lists(_single_labels, max_size=60), seed=_seeds)
def test_every_split_has_its_share_of_every_class_to_within_two_samples(more: list[tuple[int, ...]], seed: int) -> None:
    """With one label per sample and at least five samples per class. Of 1,500 random cases, one exceeded one sample."""
    fractions = split_fractions(0.2, 0.2)
    labels = {f"{number:02x}": labels for number, labels in enumerate([(label,) for label in range(9)] * 5 + more)}
    per_split = _class_counts(split_samples(labels, "grouped", fractions, seed), labels)
    for (label,), num_samples in Counter(labels.values()).items():
        assert all(abs(per_split[label, split] - fractions[split] * num_samples) < 2 for split in SPLITS)


def test_another_seed_gives_another_split() -> None:
    labels = {f"s{number}": (number % 3,) for number in range(60)}
    for method in ("grouped", "random"):
        splits = [split_samples(labels, method, split_fractions(0.2, 0.2), seed) for seed in range(5)]
        assert all(one != other for number, one in enumerate(splits) for other in splits[:number])


def test_samples_without_labels_fill_the_splits() -> None:
    labels: Labels = {f"s{number}": () for number in range(20)}
    assert _counts(split_samples(labels, "grouped", split_fractions(0.1, 0.1), 0)) == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="validation_fraction and test_fraction leave nothing to train on"):
        split_samples({"a": (0,)}, "random", split_fractions(0.5, 0.5), 0)


@pytest.mark.parametrize("method", ["grouped", "random"])
def test_too_few_samples_for_a_split_name_the_split(method: str) -> None:
    with pytest.raises(ValueError, match=r"2 samples: too few for a share of 0\.10 in (validation|test)"):
        split_samples({"a": (0,), "b": (1,)}, method, split_fractions(0.1, 0.1), 0)


def test_too_few_groups_for_a_split_give_their_number() -> None:
    labels = {f"s{number}": (0,) for number in range(50)}
    links = [(f"s{number}", f"s{number + 2}") for number in range(48)]
    with pytest.raises(ValueError, match=r"50 samples in 2 groups that stay together: too few .* in (validation|test)"):
        split_samples(labels, "grouped", split_fractions(0.1, 0.1), 0, links=links)


def _competition_labels(hpa_dir: Path) -> dict[str, tuple[int, ...]]:
    with (hpa_dir / "train.csv").open(newline="") as file:
        return {row["Id"]: parse_target(row["Target"], CLASS_NAMES) for row in csv.DictReader(file)}


@pytest.mark.parametrize("share_linked", [0.0, 0.3])
def test_the_competitions_labels_are_split_with_every_class_in_every_split(hpa_dir: Path, share_linked: float) -> None:
    labels = _competition_labels(hpa_dir)
    ids, draws = list(labels), random.Random(0)
    links = [pair for pair in itertools.pairwise(ids) if draws.random() < share_linked]
    split_of = split_samples(labels, "grouped", split_fractions(0.1, 0.1), 0, links=links)
    assert _counts(split_of) == {"train": 24858, "validation": 3107, "test": 3107}
    per_split = _class_counts(split_of, labels)
    for label in range(len(CLASS_NAMES)):
        total = sum(per_split[label, split] for split in SPLITS)
        for split in ("validation", "test"):
            assert abs(per_split[label, split] - 0.1 * total) <= max(1.0, 0.02 * total)
            assert per_split[label, split]
    assert torn_groups(group_samples(labels, links), split_of) == []


def test_a_random_split_divides_groups(hpa_dir: Path) -> None:
    ids = sorted(_competition_labels(hpa_dir))
    labels = dict.fromkeys(ids, ())
    links = list(zip(ids[:5000:2], ids[1:5000:2], strict=True))
    torn = torn_groups(group_samples(ids, links), split_samples(labels, "random", split_fractions(0.1, 0.1), 0, links=links))
    # Two samples are in the same split with a probability of 0.8^2 + 0.1^2 + 0.1^2.
    assert len(torn) / 2500 == pytest.approx(0.34, abs=0.03)


@pytest.mark.parametrize("num_classes", [1, 5, 28])
def test_classes_of_two_samples_leave_no_split_empty(num_classes: int) -> None:
    labels = {f"s{k}": (k // 2 % num_classes,) for k in range(max(10, 2 * num_classes))}
    split_of = split_samples(labels, "grouped", split_fractions(0.1, 0.1), seed=0)
    assert set(split_of.values()) == set(SPLITS)
    assert list(split_of.values()).count("train") >= 0.7 * len(labels)
