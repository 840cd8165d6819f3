from typing import Any

import pytest

from components.evaluate.confusions import Confusion
from components.evaluate.f1_intervals import Interval
from components.evaluate.metrics import ClassScore
from components.evaluate.summary import FALSE_ALARM, MISSED, RELIABLE, TOO_FEW, UNCLEAR, grade, summarise

HIGH, LOW, WIDE = Interval(0.7, 0.9), Interval(0.2, 0.6), Interval(0.5, 0.8)


def _score(name: str = "Cytosol", **others: Any) -> ClassScore:
    fields: dict[str, Any] = {
        "support": 50,
        "num_predicted": 50,
        "num_found": 40,
        "precision": 0.8,
        "recall": 0.8,
        "f1": 0.8,
        "f1_baseline": 0.1,
        "average_precision": 0.9,
        "threshold": 0.5,
        "num_groups": 50,
        "precision_interval": HIGH,
        "recall_interval": HIGH,
    }
    return ClassScore(name=name, **fields | others)


@pytest.mark.parametrize(
    ("recall", "precision", "expected"),
    [
        (HIGH, HIGH, (RELIABLE,)),
        (LOW, HIGH, (MISSED,)),
        (HIGH, LOW, (FALSE_ALARM,)),
        (LOW, LOW, (MISSED, FALSE_ALARM)),
        (WIDE, HIGH, (UNCLEAR,)),
        (HIGH, WIDE, (UNCLEAR,)),
        (WIDE, LOW, (FALSE_ALARM,)),
        (LOW, None, (MISSED,)),  # never predicted
    ],
)
def test_a_class_is_graded_by_both_intervals(recall: Interval, precision: Interval | None, expected: tuple[str, ...]) -> None:
    assert grade(_score(recall_interval=recall, precision_interval=precision), 1000) == expected


def test_a_class_in_few_groups_is_not_graded_however_good_it_is() -> None:
    assert grade(_score(num_groups=4), 1000) == (TOO_FEW,)
    assert grade(_score(support=0, num_groups=0, recall_interval=None), 1000) == (TOO_FEW,)


def test_precision_must_exceed_the_baselines() -> None:
    """If three in four images show a class, predicting it for every image has a precision of 0.75."""
    assert grade(_score(support=750), 1000) == (UNCLEAR,)


def test_the_summary_lists_classes_by_grade() -> None:
    classes = [
        _score("Nuclear bodies", support=12, recall_interval=LOW, precision_interval=LOW),
        _score("Nucleoplasm", support=90),
        _score("Cytosol", support=99),
        _score("Endosomes", support=0, num_groups=0, recall_interval=None),
    ]
    metrics = {"subset_accuracy": 0.19, "subset_accuracy_low": 0.132, "subset_accuracy_high": 0.25}
    said = summarise(metrics | {"subset_accuracy_baseline": 0.0}, classes, [Confusion(0, 2, 6, 1.5)], 200)
    assert said == {
        "Recognised reliably": "2 of 4 classes: Cytosol, Nucleoplasm",
        "Often missed": "Nuclear bodies",
        "Often a false alarm": "Nuclear bodies",
        "Mixed up": "Nuclear bodies mistaken for Cytosol (6 images)",
        "Too few images to judge": "Endosomes (0)",
        "Whole images": "all classes right on 19 of 100 (95 % interval: 13 to 25); predicting nothing: 0 of 100",
    }


def test_the_summary_of_a_model_that_recognises_nothing_says_none() -> None:
    metrics = {f"subset_accuracy{kind}": 0.0 for kind in ("", "_low", "_high", "_baseline")}
    assert summarise(metrics, [_score(recall_interval=LOW)], [], 100)["Recognised reliably"] == "none of 1 class"
