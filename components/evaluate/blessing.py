"""Decides whether a model may be served, and why: yes, no, or not enough evidence.

Macro F1 over the common classes decides (see `f1_intervals`). The whole interval of the gain over the baselines must be
positive. Against the champion, this would be too strict: the noise of a test split exceeds the gain from a month of new images,
and the champion would stay forever. Pushing every model that is not clearly worse would be too lenient: an equal model would be
pushed each time, and small losses would add up. The challenger must therefore score higher on the same samples, and no class
may be worse beyond its noise band. Because each champion has beaten its predecessor on these samples, equal models seldom win,
and the bar only rises: see benchmarks/blessing.py.

Calibration does not affect the verdict. Decisions depend on fitted thresholds, so a distortion of probabilities that keeps
their order does not change them, and the calibration error is irrelevant to them. The report shows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from components.evaluate.comparison import Comparison
from components.evaluate.f1_intervals import MIN_CLASS_GROUPS, MIN_GROUPS, Interval

# The outcomes of verdicts and of rules. A rule is switched off if its parameter allows anything.
Outcome = Literal["yes", "no", "not enough evidence"]
RuleOutcome = Literal["no", "not enough evidence", "yes", "switched off"]

# No F1 can be further below another, so blessing_min_gain=-1 and blessing_max_class_drop=1 switch rules off.
_ANY_GAIN, _ANY_DROP = -1.0, 1.0


@dataclass(frozen=True)
class Rules:
    """The pipeline's parameters: see the step."""

    min_gain: float
    max_class_drop: float


@dataclass(frozen=True)
class BaselineGain:
    """The gain in macro F1 over the common classes, compared with a baseline.

    Attributes:
        title: The title of the baseline.
        baseline: Its macro F1. None if no class is common.
        gain: The interval of the difference on the same samples. None in that case too, or if there are too few groups.
    """

    title: str
    baseline: float | None
    gain: Interval | None


@dataclass(frozen=True)
class Evidence:
    """The evidence for a verdict.

    Attributes:
        judged_on: The split that it is from.
        num_samples: The number of samples in that split.
        num_groups: The number of groups of related samples among them.
        num_classes: The number of classes.
        num_common: The number of common classes: those that `f1_macro` is over.
        f1_macro: The model's macro F1. None if no class is common.
        baselines: The gain over each trivial classifier.
        num_invalid: The number of the model's outputs that are not probabilities.
        comparison: Champion against challenger; None if there is no champion, or the model is the champion.
    """

    judged_on: str
    num_samples: int
    num_groups: int
    num_classes: int
    num_common: int
    f1_macro: float | None
    baselines: Sequence[BaselineGain]
    num_invalid: int = 0
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Finding:
    """The outcome of one rule, and why."""

    rule: str
    outcome: RuleOutcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The outcomes of all rules."""

    findings: Sequence[Finding]

    @property
    def outcome(self) -> Outcome:
        """No if any rule says no; else not enough evidence if any rule says so; else yes."""
        found = {finding.outcome for finding in self.findings}
        return "no" if "no" in found else "not enough evidence" if "not enough evidence" in found else "yes"

    @property
    def blessed(self) -> bool:
        """Whether the model may be pushed."""
        return self.outcome == "yes"

    @property
    def title(self) -> str:
        """The outcome as a heading."""
        titles = {"yes": "blessed", "no": "not blessed", "not enough evidence": "not blessed, for lack of evidence"}
        return titles[self.outcome]

    @property
    def reasons(self) -> list[str]:
        """The reasons of all rules, those against the model first."""
        return [finding.reason for finding in sorted(self.findings, key=lambda f: get_args(RuleOutcome).index(f.outcome))]


def bless(evidence: Evidence, rules: Rules) -> Verdict:
    """Judges a model by all rules."""
    findings = [*_split(evidence), *_answers(evidence), _baselines(evidence, rules)]
    if evidence.comparison:
        findings += _champion(evidence.comparison, rules)
    return Verdict(findings)


def _split(evidence: Evidence) -> Iterable[Finding]:
    if evidence.judged_on != "test":
        reason = f"there is no test split to judge on, and {evidence.judged_on} was used to select the model"
        yield Finding("judged on samples that were not used for selection", "no", reason)


def _answers(evidence: Evidence) -> Iterable[Finding]:
    if evidence.num_invalid:
        reason = f"{evidence.num_invalid:,} of its outputs are not numbers from 0 to 1; all figures use the nearest such number"
        yield Finding("every output is a probability", "no", reason)


def _baselines(evidence: Evidence, rules: Rules) -> Finding:
    rule = "better than the baselines"
    where = f"{evidence.num_samples} {evidence.judged_on} samples"
    if evidence.f1_macro is None:
        lacking = f"none of the {evidence.num_classes} classes is in at least {MIN_CLASS_GROUPS} groups of the {where}"
        if evidence.num_groups < MIN_GROUPS:
            lacking += f"; {_too_few(evidence.num_groups)}"
        return Finding(rule, *_without_gain(lacking, rules))
    best = max(evidence.baselines, key=lambda one: one.baseline or 0)
    measured = (
        f"macro F1 on {where} is {evidence.f1_macro:.3f} over {_classes(evidence.num_common, evidence.num_classes)}, "
        f"compared with {best.baseline:.3f} for the best baseline ({best.title})"
    )
    gains = [one.gain for one in evidence.baselines if one.gain]
    if not gains:
        return Finding(rule, *_without_gain(f"{measured}; {_too_few(evidence.num_groups)}", rules))
    gain = min(gains)
    measured += f"; the gain is {_span(gain)}"
    if rules.min_gain <= _ANY_GAIN:
        return Finding(rule, *_without_gain(measured, rules))
    # The gain over a baseline with the same predictions is 0, whichever group is left out.
    is_lost = gain.high < rules.min_gain or gain.low == gain.high
    outcome: Outcome = "yes" if gain.low > rules.min_gain else "no" if is_lost else "not enough evidence"
    return Finding(rule, outcome, f"{measured}, and the whole interval must be above {rules.min_gain:+.3f}")


def _champion(comparison: Comparison, rules: Rules) -> Iterable[Finding]:
    rule = "not worse than the champion"
    if comparison.obstacle:
        reason = (
            f"{comparison.rival} cannot be evaluated on these samples ({comparison.obstacle}), so it is unknown whether the "
            "new model is worse. To start without a champion, choose another model_name"
        )
        yield Finding(rule, *_without_gain(reason, rules))
        return
    where = f"the same {comparison.num_samples} samples"
    if comparison.num_seen:
        where = (
            f"the {comparison.num_samples} samples that neither has seen (of this split, {comparison.num_seen} were used in "
            f"training, and {comparison.num_related} are in a group with one of these)"
        )
    measured = f"compared with {comparison.rival} on {where}"
    if not comparison.is_verified:
        measured += " (its files are unverified, because they have no record)"
    if comparison.challenger and comparison.champion and comparison.num_common:
        f1 = [figures["f1_macro_common"] for figures in (comparison.challenger, comparison.champion)]
        classes = _classes(comparison.num_common, len(comparison.classes))
        measured += f", macro F1 is {f1[0]:.3f} versus {f1[1]:.3f} over {classes}"
        if comparison.gain:
            outcome, words = _judge_gain(f1[0] - f1[1], comparison.gain, rules)
            yield Finding(rule, outcome, f"{measured}; {words}")
        else:
            yield Finding(rule, *_without_gain(f"{measured}; {_too_few(comparison.num_groups)}", rules))
    else:
        yield Finding(rule, *_without_gain(f"{measured}; no class is in at least {MIN_CLASS_GROUPS} groups of these", rules))
    yield _class_drops(comparison, rules)


def _judge_gain(found: float, gain: Interval, rules: Rules) -> tuple[RuleOutcome, str]:
    asked = rules.min_gain
    evidence = f"the gain is {found:+.3f}, with {_span(gain)}"
    if asked <= _ANY_GAIN:
        return _without_gain(evidence, rules)
    evidence += f"; blessing_min_gain requires more than {asked:+.3f}"
    if found > asked:
        return "yes", evidence
    if gain.high < asked:
        return "no", f"{evidence}, and the whole interval is below"
    if gain.low == gain.high == 0:
        return "not enough evidence", f"{evidence}: both make the same decisions, so nothing would change"
    return "not enough evidence", f"{evidence}: the shortfall is within the noise, but there is no reason for a change"


def _class_drops(comparison: Comparison, rules: Rules) -> Finding:
    rule = "no class worse than the champion's"
    if rules.max_class_drop >= _ANY_DROP:
        return Finding(rule, "switched off", f"blessing_max_class_drop={rules.max_class_drop:g} switches this rule off")
    judged = [(change, change.band) for change in comparison.classes if change.band]
    dropped = [change for change, band in judged if band.high < -rules.max_class_drop]
    classes = f"of {len(judged)} classes in at least {MIN_CLASS_GROUPS} groups"
    allowed = f"blessing_max_class_drop allows {rules.max_class_drop:.3f}"
    if dropped:
        named = ", ".join(f"{c.name} ({c.champion_f1:.3f} to {c.challenger_f1:.3f})" for c in dropped)
        reason = f"{classes}, these have a lower F1 than the champion beyond their noise band: {named}; {allowed}"
        return Finding(rule, "no", reason)
    reason = f"{classes}, none has a lower F1 than the champion beyond its noise band; {allowed}"
    return Finding(rule, "yes", reason)


def _without_gain(reason: str, rules: Rules) -> tuple[RuleOutcome, str]:
    """The outcome of a rule about a gain that is not required, or cannot be measured."""
    if rules.min_gain <= _ANY_GAIN:
        return "switched off", f"{reason}; blessing_min_gain={rules.min_gain:g} switches this rule off"
    return "not enough evidence", reason


def _too_few(num_groups: int) -> str:
    return f"the gain is unknown: {num_groups} groups of samples are too few, at least {MIN_GROUPS} are needed"


def _classes(num_common: int, num_classes: int) -> str:
    if num_common == num_classes:
        return f"all {num_classes} classes"
    return f"the {num_common} of {num_classes} classes in at least {MIN_CLASS_GROUPS} groups"


def _span(gain: Interval) -> str:
    return f"{gain.low:+.3f} to {gain.high:+.3f} (95 % interval)"
