from dataclasses import replace

import pytest

from components.evaluate.blessing import BaselineGain, Evidence, Rules, bless
from components.evaluate.comparison import ClassChange, Comparison
from components.evaluate.f1_intervals import Interval

_RULES = Rules(min_gain=0.0, max_class_drop=0.05)
_GOOD = Evidence(
    judged_on="test",
    num_samples=150,
    num_groups=144,
    num_classes=28,
    num_common=24,
    f1_macro=0.2,
    baselines=[
        BaselineGain("class frequencies", 0.1, Interval(0.06, 0.14)),
        BaselineGain("predicting nothing", 0.0, Interval(0.1, 0.3)),
    ],
)


def _baseline(low: float, high: float) -> Evidence:
    return replace(_GOOD, baselines=[*_GOOD.baselines, BaselineGain("another", 0.107, Interval(low, high))])


def _against(low: float, high: float, *classes: ClassChange, **changes: object) -> Evidence:
    comparison = Comparison(
        7,
        num_samples=150,
        num_groups=144,
        num_common=24,
        champion={"f1_macro_common": 0.2},
        challenger={"f1_macro_common": 0.2 + (low + high) / 2},
        gain=Interval(low, high),
        classes=classes,
    )
    return replace(_GOOD, comparison=replace(comparison, **changes))


def test_a_first_model_is_compared_with_the_baselines() -> None:
    verdict = bless(_GOOD, _RULES)
    assert (verdict.outcome, verdict.blessed) == ("yes", True)
    assert "macro F1 on 150 test samples is 0.200 over the 24 of 28 classes in at least 5 groups" in verdict.reasons[0]
    assert "compared with 0.100 for the best baseline (class frequencies)" in verdict.reasons[0]
    assert "+0.060 to +0.140" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.01, 0.2, "yes"),
        (-0.01, 0.2, "not enough evidence"),
        (0.0, 0.2, "not enough evidence"),
        (-0.2, -0.01, "no"),
        (0.0, 0.0, "no"),
    ],
)
def test_the_whole_interval_over_every_baseline_must_be_a_gain(low: float, high: float, outcome: str) -> None:
    verdict = bless(_baseline(low, high), _RULES)
    assert verdict.outcome == outcome
    assert verdict.blessed == (outcome == "yes")


def test_the_required_gain_may_be_higher_or_switched_off() -> None:
    assert bless(_GOOD, replace(_RULES, min_gain=0.1)).outcome == "not enough evidence"
    assert bless(_GOOD, replace(_RULES, min_gain=0.15)).outcome == "no"
    verdict = bless(_baseline(-0.4, -0.3), replace(_RULES, min_gain=-1.0))
    assert verdict.blessed
    assert "the gain is -0.400 to -0.300 (95 % interval); blessing_min_gain=-1 switches this rule off" in verdict.reasons[0]


def test_rules_that_are_switched_off_say_so_and_let_a_model_pass() -> None:
    switched_off = Rules(min_gain=-1.0, max_class_drop=1.0)
    evidence = replace(_against(-0.2, -0.1, ClassChange("Nucleoli", 30, 0.8, 0.2, Interval(-0.8, -0.3))))
    verdict = bless(evidence, switched_off)
    assert [finding.outcome for finding in verdict.findings] == ["switched off"] * 3
    assert (verdict.outcome, verdict.blessed, verdict.title) == ("yes", True, "blessed")
    unknown = bless(replace(_GOOD, comparison=Comparison(7, obstacle="its files are damaged")), switched_off)
    assert [finding.outcome for finding in unknown.findings] == ["switched off"] * 2
    spoilt = bless(replace(evidence, num_invalid=1), switched_off)
    assert [finding.outcome for finding in spoilt.findings] == ["no", *["switched off"] * 3]
    assert spoilt.reasons[0].startswith("1 of its outputs")


def test_few_groups_of_samples_are_not_enough_evidence() -> None:
    few = replace(_GOOD, num_groups=99, baselines=[replace(baseline, gain=None) for baseline in _GOOD.baselines])
    verdict = bless(few, _RULES)
    assert verdict.outcome == "not enough evidence"
    assert "99 groups of samples are too few, at least 100 are needed" in verdict.reasons[0]
    assert bless(few, replace(_RULES, min_gain=-1.0)).blessed


def test_no_common_class_is_not_enough_evidence() -> None:
    rare = replace(_GOOD, num_common=0, f1_macro=None, baselines=[BaselineGain("class frequencies", None, None)])
    verdict = bless(rare, _RULES)
    assert verdict.outcome == "not enough evidence"
    assert verdict.reasons[0] == "none of the 28 classes is in at least 5 groups of the 150 test samples"
    against = bless(_against(0.1, 0.2, num_common=0, gain=None), _RULES)
    assert against.outcome == "not enough evidence"
    assert "no class is in at least 5 groups of these" in against.reasons[0]


def test_a_model_is_not_judged_on_the_split_of_its_selection() -> None:
    verdict = bless(replace(_GOOD, judged_on="validation"), replace(_RULES, min_gain=-1.0))
    assert verdict.outcome == "no"
    assert "no test split" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("low", "high", "outcome", "words"),
    [
        (0.01, 0.1, "yes", "is +0.055, with +0.010 to +0.100 (95 % interval); blessing_min_gain requires more than +0.000"),
        (-0.05, 0.1, "yes", "is +0.025"),
        (-0.1, 0.05, "not enough evidence", "within the noise, but there is no reason for a change"),
        (0, 0, "not enough evidence", "both make the same decisions, so nothing would change"),
        (-0.1, -0.01, "no", "the whole interval is below"),
    ],
)
def test_a_champion_is_replaced_by_a_higher_score_on_the_same_samples(
    low: float, high: float, outcome: str, words: str
) -> None:
    verdict = bless(_against(low, high), _RULES)
    assert verdict.outcome == outcome
    (reason,) = [reason for reason in verdict.reasons if "champion (version 7)" in reason]
    assert f"macro F1 is {0.2 + (low + high) / 2:.3f} versus 0.200" in reason
    assert words in reason


def test_the_required_gain_over_the_champion_may_be_positive_or_negative() -> None:
    assert bless(_against(-0.02, 0.06), replace(_RULES, min_gain=0.01)).blessed
    assert bless(_against(-0.04, 0.06), replace(_RULES, min_gain=0.02)).outcome == "not enough evidence"
    assert bless(_against(-0.04, 0.01), replace(_RULES, min_gain=0.02)).outcome == "no"
    assert bless(_against(-0.04, 0.02), replace(_RULES, min_gain=-0.03)).blessed


def test_outputs_that_are_not_numbers_stop_a_model_in_any_case() -> None:
    verdict = bless(replace(_GOOD, num_invalid=3), replace(_RULES, min_gain=-1.0))
    assert verdict.outcome == "no"
    assert verdict.reasons[0].startswith("3 of its outputs are not numbers from 0 to 1")


def test_a_champion_without_a_record_is_compared_and_reported_as_unverified() -> None:
    verdict = bless(_against(0.01, 0.1, is_verified=False), _RULES)
    assert verdict.blessed
    assert any("its files are unverified, because they have no record" in reason for reason in verdict.reasons)


def test_a_class_lost_beyond_its_noise_band_stops_a_model_that_is_better_overall() -> None:
    lost = ClassChange("Nucleoli", 30, 0.8, 0.2, Interval(-0.8, -0.3))
    noisy = ClassChange("Rods & rings", 6, 0.8, 0.2, Interval(-0.9, 0.1))
    unknown = ClassChange("Aggresome", 2, 1.0, 0.0, None)
    verdict = bless(_against(0.1, 0.2, lost, noisy, unknown), _RULES)
    assert verdict.outcome == "no"
    assert "Nucleoli (0.800 to 0.200)" in verdict.reasons[0]
    assert "Rods" not in verdict.reasons[0]
    assert bless(_against(0.1, 0.2, noisy, unknown), _RULES).blessed
    assert bless(_against(0.1, 0.2, lost), replace(_RULES, max_class_drop=0.4)).blessed


def test_samples_from_training_are_reported() -> None:
    verdict = bless(_against(0.1, 0.2, num_samples=30, num_seen=15, num_related=5), _RULES)
    (reason,) = [reason for reason in verdict.reasons if "neither has seen" in reason]
    expected = "the 30 samples that neither has seen (of this split, 15 were used in training, and 5 are in a group with one of"
    assert expected in reason


def test_a_champion_that_cannot_be_evaluated_is_not_enough_evidence() -> None:
    evidence = replace(
        _GOOD, comparison=Comparison(7, obstacle="its channels are red, but those of the examples are red, green")
    )
    verdict = bless(evidence, _RULES)
    assert verdict.outcome == "not enough evidence"
    assert "cannot be evaluated on these samples (its channels are red, but" in verdict.reasons[0]
    assert bless(evidence, replace(_RULES, min_gain=-1.0)).blessed


def test_a_failed_rule_outweighs_missing_evidence_and_comes_first() -> None:
    verdict = bless(replace(_against(-0.1, 0.05), num_invalid=3), _RULES)
    assert verdict.outcome == "no"
    assert verdict.reasons[0].startswith("3 of its outputs")
    assert "there is no reason for a change" in verdict.reasons[1]
    assert len(verdict.reasons) == len(verdict.findings) == 4
