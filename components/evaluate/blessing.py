"""Whether a model may be served, and why: yes, no, or not enough evidence.

A model must beat the baselines with all of the gain's interval. Against the champion, that would ask too much: the noise of a
test split exceeds what a month of new images brings, and the champion would stay forever. To push whatever is not clearly worse
would ask too little: an equal model would be pushed each time, and small losses would add up. So the challenger must score
higher on the same samples, and no class may be worse beyond its noise band. As each champion has beaten its predecessor on
these samples, equal models seldom win, and the bar only rises: see benchmarks/blessing.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from components.evaluate.bootstrap import MIN_CLASS_GROUPS, MIN_GROUPS, Interval
from components.evaluate.comparison import Comparison

Outcome = Literal["yes", "no", "not enough evidence"]

# The largest expected calibration error that a model may have, over all pairs of sample and class. Generous: decisions go by
# fitted thresholds, so it only stops answers that nobody could read as probabilities. Cross-entropy comes to 0.01 to 0.05.
# Focal loss overstates what is rare: its best constant answer, at the published class frequencies, is 0.2 too high. To answer
# one half throughout comes to 0.44.
MAX_CALIBRATION_ERROR = 0.25

# With this value of blessing_min_gain nothing is asked for: no F1 can be further below another. It is for trying things out.
_ANY_GAIN = -1.0


@dataclass(frozen=True)
class Rules:
    """The pipeline's parameters: see the step."""

    min_gain: float
    max_class_drop: float


@dataclass(frozen=True)
class BaselineGain:
    """How far the macro F1 is above a baseline: `gain` is the interval of the difference on the same samples."""

    title: str
    baseline: float
    gain: Interval


@dataclass(frozen=True)
class Evidence:
    """What is judged.

    Attributes:
        judged_on: The split that all of it is from.
        num_samples: The number of samples in that split.
        num_groups: The number of near-duplicate groups among them.
        f1_macro: The model's macro F1.
        baselines: The gain over each trivial classifier.
        calibration_error: The model's.
        num_invalid: How many of the model's answers are no probabilities.
        comparison: Champion against challenger; None where there is no champion, or the model is it.
    """

    judged_on: str
    num_samples: int
    num_groups: int
    f1_macro: float
    baselines: Sequence[BaselineGain]
    calibration_error: float
    num_invalid: int = 0
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Finding:
    """What one rule says, and why."""

    rule: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What all rules say together."""

    findings: Sequence[Finding]

    @property
    def outcome(self) -> Outcome:
        """No if any rule says no; else not enough evidence if any lacks it; else yes."""
        found = {finding.outcome for finding in self.findings}
        return next((outcome for outcome in ("no", "not enough evidence") if outcome in found), "yes")

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return self.outcome == "yes"

    @property
    def title(self) -> str:
        """The outcome as a heading."""
        return {"yes": "blessed", "no": "not blessed"}.get(self.outcome, "not blessed, for there is not enough evidence")

    @property
    def reasons(self) -> list[str]:
        """Those that speak against the model come first."""
        return [f.reason for f in sorted(self.findings, key=lambda f: ("no", "not enough evidence", "yes").index(f.outcome))]


def bless(evidence: Evidence, rules: Rules) -> Verdict:
    """Judges a model by all rules.

    Macro F1 decides: accuracy says little where most classes are absent from most images.
    """
    findings = [*_split(evidence), *_answers(evidence), _baselines(evidence, rules), _calibration(evidence, rules)]
    if evidence.comparison:
        findings += _champion(evidence.comparison, rules)
    return Verdict(findings)


def _split(evidence: Evidence) -> Iterable[Finding]:
    if evidence.judged_on != "test":
        reason = f"there is no test split to judge on: what {evidence.judged_on} shows, the model was chosen by"
        yield Finding("judged on samples that nothing was chosen by", "no", reason)


def _answers(evidence: Evidence) -> Iterable[Finding]:
    if evidence.num_invalid:
        reason = f"{evidence.num_invalid:,} of its answers are no numbers from 0 to 1; all figures take what is nearest"
        yield Finding("every answer is a probability", "no", reason)


def _baselines(evidence: Evidence, rules: Rules) -> Finding:
    hardest = min(evidence.baselines, key=lambda baseline: baseline.gain.low)
    measured = (
        f"macro F1 on {evidence.num_samples} {evidence.judged_on} samples is {evidence.f1_macro:.3f}, "
        f"that of the nearest baseline ({hardest.title}) {hardest.baseline:.3f}"
    )
    gain = hardest.gain if evidence.num_groups >= MIN_GROUPS else None
    rule = "better than the baselines"
    if rules.min_gain <= _ANY_GAIN or gain is None:
        outcome, words = _without_interval(gain, evidence.num_groups, rules)
        return Finding(rule, outcome, f"{measured}; the gain {words}")
    is_sure = gain.low > rules.min_gain
    # The gain over a baseline with the same predictions is 0 in every resample.
    is_lost = gain.high < rules.min_gain or gain.low == gain.high
    outcome = "yes" if is_sure else "no" if is_lost else "not enough evidence"
    return Finding(rule, outcome, f"{measured}; the gain is {_span(gain)}; all of that must be more than {rules.min_gain:+.3f}")


def _calibration(evidence: Evidence, rules: Rules) -> Finding:
    error = evidence.calibration_error
    found = f"the expected calibration error is {error:.3f}"
    if rules.min_gain <= _ANY_GAIN:
        return Finding("calibrated", "yes", f"{found}; {_asks_for_nothing(rules)}")
    outcome: Outcome = "yes" if error <= MAX_CALIBRATION_ERROR else "no"
    return Finding("calibrated", outcome, f"{found}; at most {MAX_CALIBRATION_ERROR} is allowed")


def _champion(comparison: Comparison, rules: Rules) -> Iterable[Finding]:
    rule = "not worse than the champion"
    if comparison.obstacle:
        reason = (
            f"{comparison.rival} cannot be asked about these samples, for {comparison.obstacle}: whether the new model is "
            "worse is not known. Another model_name starts without it"
        )
        yield Finding(rule, "yes" if rules.min_gain <= _ANY_GAIN else "not enough evidence", reason)
        return
    where = f"the same {comparison.num_samples} samples"
    if comparison.num_seen:
        where = (
            f"the {comparison.num_samples} samples that neither has seen ({comparison.num_seen} of this split were trained on, "
            f"and {comparison.num_related} are near-duplicates of such)"
        )
    measured = f"against {comparison.rival} on {where}"
    if not comparison.is_verified:
        measured += ", whose files have no record to be verified by"
    if comparison.champion and comparison.challenger:
        f1 = [f"{figures['f1_macro']:.3f}" for figures in (comparison.challenger, comparison.champion)]
        measured += f", macro F1 is {f1[0]} to {f1[1]}"
    outcome, words = _judge_gain(comparison, rules)
    yield Finding(rule, outcome, f"{measured}; the gain {words}")
    yield _class_drops(comparison, rules)


def _judge_gain(comparison: Comparison, rules: Rules) -> tuple[Outcome, str]:
    gain, asked = comparison.gain, rules.min_gain
    if asked <= _ANY_GAIN or gain is None or not comparison.challenger or not comparison.champion:
        return _without_interval(gain, comparison.num_groups, rules)
    found = comparison.challenger["f1_macro"] - comparison.champion["f1_macro"]
    told = f"is {found:+.3f}, with {_span(gain)}; blessing_min_gain asks for more than {asked:+.3f}"
    if found > asked:
        return "yes", told
    if gain.high < asked:
        return "no", f"{told}, and all of the interval is below"
    if gain.low == gain.high == 0:
        return "not enough evidence", f"{told}: both decide the same, and nothing would change"
    return "not enough evidence", f"{told}: what is missing is within the noise, but nothing speaks for a change"


def _class_drops(comparison: Comparison, rules: Rules) -> Finding:
    judged = [(change, change.band) for change in comparison.classes if change.band]
    dropped = [change for change, band in judged if band.high < -rules.max_class_drop]
    told = f"of {len(judged)} classes in at least {MIN_CLASS_GROUPS} groups"
    allowed = f"blessing_max_class_drop allows {rules.max_class_drop:.3f}"
    if dropped:
        named = ", ".join(f"{c.name} ({c.champion_f1:.3f} to {c.challenger_f1:.3f})" for c in dropped)
        reason = f"{told}, these have a lower F1 than the champion's beyond their noise band: {named}; {allowed}"
        return Finding("no class worse than the champion's", "no", reason)
    reason = f"{told}, none has a lower F1 than the champion's beyond its noise band; {allowed}"
    return Finding("no class worse than the champion's", "yes", reason)


def _without_interval(gain: Interval | None, num_groups: int, rules: Rules) -> tuple[Outcome, str]:
    """The outcome where no gain is asked for, or none is known."""
    found = f"is {_span(gain)}" if gain else "is not known"
    if rules.min_gain <= _ANY_GAIN:
        return "yes", f"{found}; {_asks_for_nothing(rules)}"
    return "not enough evidence", f"{found}: {num_groups} groups of samples are too few, at least {MIN_GROUPS} are needed"


def _span(gain: Interval) -> str:
    return f"{gain.low:+.3f} to {gain.high:+.3f} (95 % interval)"


def _asks_for_nothing(rules: Rules) -> str:
    return f"blessing_min_gain={rules.min_gain:g} asks for nothing"
