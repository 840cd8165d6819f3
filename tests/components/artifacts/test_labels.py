import contextlib
import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.labels import (
    CLASS_NAMES,
    NUM_PUBLISHED_SAMPLES,
    PUBLISHED_COUNTS,
    format_target,
    parse_target,
)

_label_sets = st.frozensets(st.integers(0, 27), min_size=1)


@given(labels=_label_sets, separator=st.sampled_from([" ", "  ", "\t"]), order=st.randoms())
def test_targets_are_read_in_any_order_and_spacing(labels: frozenset[int], separator: str, order: "st.random.Random") -> None:
    words = [str(label) for label in labels]
    order.shuffle(words)
    assert parse_target(f" {separator.join(words)} ", CLASS_NAMES) == tuple(sorted(labels))


@given(_label_sets)
def test_a_target_that_was_written_is_read_back(labels: frozenset[int]) -> None:
    assert parse_target(format_target(sorted(labels)), CLASS_NAMES) == tuple(sorted(labels))


@given(st.text(max_size=8), st.integers(1, 40))
def test_any_text_gives_valid_labels_or_is_refused(text: str, num_classes: int) -> None:
    with contextlib.suppress(ValueError):
        labels = parse_target(text, [f"class {k}" for k in range(num_classes)])
        assert labels == tuple(sorted(set(labels)))
        assert labels
        assert all(0 <= label < num_classes for label in labels)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "Target is empty"),
        ("  ", "Target is empty"),
        ("28", "unknown class: expected indices from 0 to 27. Received: '28'"),
        ("0 -1", "unknown class: .* Received: '-1'"),
        ("1.0", "unknown class: .* Received: '1.0'"),
        ("0,1", "unknown class: .* Received: '0,1'"),
        (" ; |", "Target is empty"),
        ("Nuclear bodys", r"names such as Nucleoplasm, .* Received: 'Nuclear bodys'\. Did you mean 'Nuclear bodies'\?"),
        ("Cytosol, Nucleoli", "unknown class: .* separated by ';'"),
        ("Cytosol; 3", "unknown class: .* Received: '3'"),
        ("Cytosol|cytosol", "repeats a class"),
        ("\u0663", "unknown class"),  # a digit, but not one of ours
        ("9" * 5000, "Target"),  # more digits than int() takes
        ("3 1 3", "repeats a class. Received: '3 1 3'"),
        ("3 03", "repeats a class"),
    ],
)
def test_wrong_targets_are_refused_with_the_received_value(target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_target(target, CLASS_NAMES)


def test_targets_may_count_from_1() -> None:
    assert parse_target("1 3", ["a", "b", "c"], first_class=1) == (0, 2)
    assert parse_target("b", ["a", "b", "c"], first_class=1) == (1,)
    for target in ("0", "4"):
        with pytest.raises(ValueError, match="expected indices from 1 to 3, as first_class=1 says"):
            parse_target(target, ["a", "b", "c"], first_class=1)


def test_there_are_the_competitions_28_classes() -> None:
    assert len(CLASS_NAMES) == 28
    assert (CLASS_NAMES[0], CLASS_NAMES[7], CLASS_NAMES[15], CLASS_NAMES[27]) == (
        "Nucleoplasm",
        "Golgi apparatus",
        "Microtubule ends",
        "Rods & rings",
    )


def test_published_counts_are_those_of_the_label_file(hpa_dir: Path) -> None:
    with (hpa_dir / "train.csv").open(newline="") as file:
        targets = [parse_target(row["Target"], CLASS_NAMES) for row in csv.DictReader(file)]
    counts = Counter(label for labels in targets for label in labels)
    assert [counts[label] for label in range(28)] == list(PUBLISHED_COUNTS.values())
    assert len(targets) == NUM_PUBLISHED_SAMPLES
