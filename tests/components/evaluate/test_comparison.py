import numpy as np
import pytest

from components.evaluate.comparison import Contender, compare

_NAMES = ["a", "b", "c", "d"]


def _truth(num_samples: int = 200) -> tuple[np.ndarray, list[str]]:
    random = np.random.default_rng(0)
    return random.random((num_samples, 4)) < 0.3, [f"s{k:03d}" for k in range(num_samples)]


def _contender(y_true: np.ndarray, seed: int, skill: float, *training_ids: str, threshold: float = 0.5) -> Contender:
    noise = np.random.default_rng(seed).normal(0, 0.25, y_true.shape)
    y_score = np.clip(0.5 + skill * (y_true - 0.5) + noise, 0, 1).astype(np.float32)
    return Contender(y_score, np.full(4, threshold, np.float32), training_ids)


def test_a_better_model_gains_and_a_worse_one_loses() -> None:
    y_true, ids = _truth()
    groups = dict(zip(ids, ids, strict=True))
    good, bad = _contender(y_true, 1, 0.8), _contender(y_true, 2, 0.2)
    for new, old, sign in ((good, bad, 1), (bad, good, -1)):
        found = compare(4, new, old, y_true, ids, groups, _NAMES)
        assert found.gain
        assert min(sign * found.gain.low, sign * found.gain.high) > 0
        assert found.champion
        assert found.challenger
        assert found.gain.low < found.challenger["f1_macro_common"] - found.champion["f1_macro_common"] < found.gain.high
        assert (found.version, found.num_samples, found.num_groups, found.num_seen, found.num_related) == (4, 200, 200, 0, 0)
        for change in found.classes:
            assert change.band
            assert change.band.low <= change.change <= change.band.high


def test_each_model_is_judged_with_its_own_thresholds() -> None:
    y_true, ids = _truth()
    groups = dict(zip(ids, ids, strict=True))
    sound, spoilt = (_contender(y_true, 1, 0.8, threshold=value) for value in (0.5, 0.99))
    found = compare(4, sound, spoilt, y_true, ids, groups, _NAMES)
    assert found.gain
    assert found.gain.low > 0


def test_equal_models_have_no_difference() -> None:
    y_true, ids = _truth()
    same = _contender(y_true, 1, 0.5)
    found = compare(4, same, same, y_true, ids, dict(zip(ids, ids, strict=True)), _NAMES)
    assert found.gain == (0.0, 0.0)
    assert {change.band for change in found.classes} == {(0.0, 0.0)}


def test_training_samples_of_either_and_their_near_duplicates_are_left_out() -> None:
    y_true, ids = _truth()
    groups = dict(zip(ids, ids, strict=True)) | {"s001": "pair", "s002": "pair", "s003": "with train", "t9": "with train"}
    new, old = _contender(y_true, 1, 0.8, "t1"), _contender(y_true, 2, 0.8, "s001", "s100", "t9", "of another data set")
    found = compare(4, new, old, y_true, ids, groups, _NAMES)
    assert (found.num_samples, found.num_seen, found.num_related) == (196, 2, 2)
    kept = np.array([sample_id not in ("s001", "s002", "s003", "s100") for sample_id in ids])
    alone = compare(
        4, new.on(kept), old.on(kept), y_true[kept], [i for i, k in zip(ids, kept, strict=True) if k], groups, _NAMES
    )
    assert (found.gain, found.challenger, found.classes) == (alone.gain, alone.challenger, alone.classes)


def test_a_champion_trained_on_all_samples_leaves_none_to_compare() -> None:
    y_true, ids = _truth()
    new, old = _contender(y_true, 1, 0.8), _contender(y_true, 2, 0.8, *ids)
    found = compare(4, new, old, y_true, ids, dict(zip(ids, ids, strict=True)), _NAMES)
    assert (found.num_samples, found.num_seen, found.gain, found.champion) == (0, 200, None, None)


def test_few_groups_and_rare_classes_have_no_band() -> None:
    y_true, ids = _truth()
    y_true[:, 3] = np.arange(200) < 4
    new, old = _contender(y_true, 1, 0.9), _contender(y_true, 2, 0.3)
    found = compare(4, new, old, y_true, ids, dict(zip(ids, ids, strict=True)), _NAMES)
    assert [change.band is None for change in found.classes] == [False, False, False, True]
    assert found.num_common == 3
    assert found.challenger
    assert found.challenger["f1_macro_common"] == pytest.approx(np.mean([c.challenger_f1 for c in found.classes[:3]]))
    by_threes = {sample_id: f"g{position // 4}" for position, sample_id in enumerate(ids)}
    assert compare(4, new, old, y_true, ids, by_threes, _NAMES).gain is None


def test_bands_of_many_classes_hold_jointly() -> None:
    """Among 28 unchanged classes, some class would leave an individual band of 95 % in most comparisons."""
    alarms = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        y_true = random.random((300, 28)) < 0.2
        scores = [np.clip(0.4 * y_true + 0.6 * random.random(y_true.shape), 0, 1).astype(np.float32) for _ in range(2)]
        contenders = [Contender(score, np.full(28, 0.5, np.float32), ()) for score in scores]
        ids = [str(k) for k in range(300)]
        names = [str(k) for k in range(28)]
        found = compare(1, *contenders, y_true, ids, dict(zip(ids, ids, strict=True)), names)
        alarms += any(change.band and not change.band.low <= 0 <= change.band.high for change in found.classes)
    assert alarms <= 4
