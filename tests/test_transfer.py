"""How `benchmarks.transfer` chooses its images and compares its recipes."""

import numpy as np
import pytest

from benchmarks import transfer
from components.artifacts.labels import CLASS_NAMES
from components.synthetic.samples import sample_group, sample_labels


def test_every_class_has_the_requested_number_of_samples() -> None:
    counts = np.zeros(len(CLASS_NAMES), int)
    for number in transfer.balanced_numbers(series=3, per_class=2):
        counts[list(sample_labels(3, number))] += 1
    assert counts.min() >= 2


def test_near_duplicates_are_in_one_split() -> None:
    split = transfer.natural_split(3, {"train": 120, "validation": 40, "test": 40})
    assert {name: len(numbers) for name, numbers in split.items()} == pytest.approx(
        {"train": 120, "validation": 40, "test": 40}, abs=4
    )
    groups = [{sample_group(3, number) for number in numbers} for numbers in split.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_recipes_are_compared_seed_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    transfer.print_table({"paper": [0.241, 0.318, 0.3], "strong": [0.342, 0.317, 0.343]})
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| `paper` | 0.241 | 0.318 | 0.300 | 0.286 |  |",
        "| `strong` | 0.342 | 0.317 | 0.343 | 0.334 | +0.048 (-0.079 to +0.175) |",
    ]
