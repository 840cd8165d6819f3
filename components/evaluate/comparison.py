"""Champion against challenger: two models on the same samples, each with its own thresholds."""

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
        band: The interval of the change, with 95 % joint confidence in the bands of all classes. None if the class is in too
            few groups.
    """

    name: str
    support: int
    champion_f1: float
    challenger_f1: float
    band: Interval | None

    @property
    def change(self) -> float:
        """The challenger's F1 minus the champion's."""
        return self.challenger_f1 - self.champion_f1


@dataclass(frozen=True)
class Comparison:
    """The results of the two models.

    Attributes:
        version: The champion's version; None if it is unknown.
        obstacle: Why there is no comparison; empty if there is one.
        is_verified: Whether the champion's files were verified.
        num_samples: The number of samples that both were judged on.
        num_groups: The number of groups of these samples.
        num_seen: The number of samples of the split that one of them was trained on.
        num_related: The number of other samples in a group that either was trained on.
        num_common: The number of common classes among these samples, over which the macro F1 is compared.
        champion: Its metrics by name.
        challenger: The same of the new model.
        gain: The interval of the difference in macro F1 over the common classes: challenger minus champion. None if there are
            too few groups, or no common class.
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
        """The champion's name in texts."""
        return f"the champion (version {self.version})" if self.version else "the champion"


@dataclass(frozen=True)
class Contender:
    """One of the two models: its probabilities, thresholds, training ids and fingerprint."""

    y_score: np.ndarray
    thresholds: np.ndarray
    training_ids: Collection[str]
    fingerprint: str = ""

    @property
    def answers(self) -> Answers:
        """Its probabilities and decisions."""
        return Answers(self.y_score, self.y_score >= self.thresholds)

    def on(self, kept: np.ndarray) -> "Contender":
        """The same model on some of the samples."""
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

    A sample counts as seen if any sample of its group was used in training.

    Args:
        version: The champion's version.
        challenger: The new model.
        champion: The served model.
        y_true: bool, shape (samples, classes).
        ids: The samples.
        groups: The group of each sample id.
        names: The names of the classes.
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
    # Bonferroni: among many unchanged classes, some class nearly always leaves an individual band of 95 %.
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
