"""What a model is good for, in plain words: which classes can be relied on, and which cannot."""

from collections.abc import Mapping, Sequence

from components.evaluate.confusions import Confusion
from components.evaluate.f1_intervals import MIN_CLASS_GROUPS
from components.evaluate.metrics import ClassScore
from components.runtime.wording import count_of, first_of

# The recall and the precision that a reliable class must exceed.
RELIABLE_SHARE = 2 / 3

RELIABLE = "Recognised reliably"
MISSED = "Often missed"
FALSE_ALARM = "Often a false alarm"
UNCLEAR = "Unclear"
TOO_FEW = "Too few images to judge"
MIXED_UP = "Mixed up"
WHOLE_IMAGES = "Whole images"

_NUM_NAMED = 20
_NUM_CONFUSIONS = 3


def grade(score: ClassScore, num_samples: int) -> tuple[str, ...]:
    """Grades a class: one of the words above, or both `MISSED` and `FALSE_ALARM`.

    Intervals decide, not the figures themselves: precision and recall must be above or below `RELIABLE_SHARE` with 95 %
    confidence. Precision must also be above the baseline's, which predicts the class for every sample.

    Args:
        score: The metrics of the class.
        num_samples: The number of samples of these metrics.
    """
    if score.num_groups < MIN_CLASS_GROUPS or score.recall_interval is None:
        return (TOO_FEW,)
    recall, precision = score.recall_interval, score.precision_interval
    least = max(RELIABLE_SHARE, score.support / num_samples)
    if precision and precision.low > least and recall.low > RELIABLE_SHARE:
        return (RELIABLE,)
    errors = [MISSED] if recall.high < RELIABLE_SHARE else []
    errors += [FALSE_ALARM] if precision and precision.high < least else []
    return tuple(errors) or (UNCLEAR,)


def summarise(
    metrics: Mapping[str, float], classes: Sequence[ClassScore], confusions: Sequence[Confusion], num_samples: int
) -> dict[str, str]:
    """The lines of the summary, by topic.

    Args:
        metrics: The metrics over all classes, with intervals and baselines: see `components.evaluate.performance`.
        classes: The metrics of each class.
        confusions: See `components.evaluate.confusions`.
        num_samples: The number of samples of all metrics.
    """
    graded: dict[str, list[ClassScore]] = {}
    for score in sorted(classes, key=lambda one: -one.support):
        for word in grade(score, num_samples):
            graded.setdefault(word, []).append(score)
    names = {word: [score.name for score in scores] for word, scores in graded.items()}
    reliable = names.get(RELIABLE, [])
    pairs = [
        f"{classes[one.missed].name} mistaken for {classes[one.answered].name} ({count_of(one.num_images, 'image')})"
        for one in confusions[:_NUM_CONFUSIONS]
    ]
    lines = {
        RELIABLE: f"{len(reliable) or 'none'} of {count_of(len(classes), 'class', 'classes')}{': ' if reliable else ''}"
        + _first(reliable),
        WHOLE_IMAGES: f"all classes right on {_percent(metrics, '')} of 100 (95 % interval: {_percent(metrics, '_low')} "
        f"to {_percent(metrics, '_high')}); predicting nothing: {_percent(metrics, '_baseline')} of 100",
        UNCLEAR: _first(names.get(UNCLEAR, [])),
        MISSED: _first(names.get(MISSED, [])),
        FALSE_ALARM: _first(names.get(FALSE_ALARM, [])),
        MIXED_UP: "; ".join(pairs),
        TOO_FEW: _first([f"{score.name} ({score.support:,})" for score in graded.get(TOO_FEW, [])]),
    }
    return {name: line for name, line in lines.items() if line}


def _first(names: Sequence[str]) -> str:
    return first_of(names, _NUM_NAMED)


def _percent(metrics: Mapping[str, float], kind: str) -> str:
    return f"{100 * metrics[f'subset_accuracy{kind}']:.0f}"
