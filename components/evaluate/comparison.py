"""Champion against challenger: two models on the same samples, each with the thresholds that it ships with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.evaluate.bootstrap import number_groups
from components.evaluate.f1_intervals import CONFIDENCE, ClassF1, Interval, class_f1
from components.evaluate.metrics import Answers, class_scores, figures


@dataclass(frozen=True)
class ClassChange:
    """One class: `change` is challenger minus champion in F1.

    Attributes:
        band: Where the change lies, with 95 % confidence in the bands of all classes together. None where too few groups show
            the class.
    """

    name: str
    support: int
    champion_f1: float
    challenger_f1: float
    band: Interval | None

    @property
    def change(self) -> float:
        """How much better the challenger is."""
        return self.challenger_f1 - self.champion_f1


@dataclass(frozen=True)
class Comparison:
    """What the two models got.

    Attributes:
        version: The champion's version; None where it is not known.
        obstacle: Why there is no comparison, in words; empty where there is one.
        is_verified: Whether the champion's files are known to be those that were pushed.
        num_samples: How many samples both were judged on.
        num_groups: How many groups these are.
        num_seen: How many samples of the split one of them was trained on.
        num_related: How many further samples are in a group with such.
        num_common: How many classes are common on these samples: those that the macro F1 is compared over.
        champion: Its metrics by name.
        challenger: The same of the new model.
        gain: The interval of the difference in macro F1 over the common classes: challenger minus champion. None where there
            are too few groups, or no common class.
        classes: Each class.
    """

    version: int | None
    obstacle: str = ""
    is_verified: bool = True
    num_samples: int = 0
    num_groups: int = 0
    num_seen: int = 0
    num_related: int = 0
    num_common: int = 0
    champion: dict[str, float] | None = None
    challenger: dict[str, float] | None = None
    gain: Interval | None = None
    classes: Sequence[ClassChange] = ()

    @property
    def rival(self) -> str:
        """What the champion is called."""
        return f"the champion (version {self.version})" if self.version else "the champion"


@dataclass(frozen=True)
class Contender:
    """One of the two: its probabilities, its thresholds, the ids that it was trained on, and which model it is."""

    y_score: np.ndarray
    thresholds: np.ndarray
    training_ids: Collection[str]
    fingerprint: str = ""

    @property
    def answers(self) -> Answers:
        """Its decisions too."""
        return Answers(self.y_score, self.y_score >= self.thresholds)

    def on(self, kept: np.ndarray) -> "Contender":
        """The same on some of the samples."""
        return replace(self, y_score=self.y_score[kept])


def compare(
    version: int,
    challenger: Contender,
    champion: Contender,
    y_true: np.ndarray,
    ids: Sequence[str],
    groups: dict[str, str],
    names: Sequence[str],
) -> Comparison:
    """Compares two models on those samples of a split that neither has seen in training.

    A sample counts as seen if one of its group was trained on.

    Args:
        version: The champion's.
        challenger: The new model.
        champion: The served one.
        y_true: bool, shape (samples, classes).
        ids: The samples.
        groups: The group of each sample id.
        names: Of the classes.
    """
    trained_on = {*challenger.training_ids, *champion.training_ids}
    seen_groups = {groups[sample_id] for sample_id in trained_on if sample_id in groups}
    seen = np.array([sample_id in trained_on for sample_id in ids])
    kept = np.array([groups[sample_id] not in seen_groups for sample_id in ids]) & ~seen
    samples = Comparison(version, num_samples=int(kept.sum()), num_seen=int(seen.sum()), num_related=int((~kept & ~seen).sum()))
    if not kept.any():
        return samples
    truth, new, old = y_true[kept], challenger.on(kept), champion.on(kept)
    numbers = number_groups([sample_id for sample_id, stays in zip(ids, kept, strict=True) if stays], groups)
    change = class_f1(truth, new.answers.y_pred, numbers) - class_f1(truth, old.answers.y_pred, numbers)
    return replace(
        samples,
        num_groups=int(numbers.max()) + 1,
        num_common=int(change.is_common.sum()),
        champion=figures(truth, old.answers, change.is_common),
        challenger=figures(truth, new.answers, change.is_common),
        gain=change.macro_interval(),
        classes=_class_changes(truth, new, old, list(names), change),
    )


def _class_changes(y_true: np.ndarray, new: Contender, old: Contender, names: list[str], change: ClassF1) -> list[ClassChange]:
    # Bonferroni: of many classes that have not changed, one or another leaves a band of 95 % of its own nearly always.
    bands = change.class_intervals(1 - (1 - CONFIDENCE) / max(1, int(change.is_common.sum())))
    scores = zip(*(class_scores(y_true, one.y_score, one.thresholds, names) for one in (new, old)), strict=True)
    return [
        ClassChange(
            name=mine.name,
            support=mine.support,
            champion_f1=theirs.f1,
            challenger_f1=mine.f1,
            band=band,
        )
        for band, (mine, theirs) in zip(bands, scores, strict=True)
    ]
