import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from components.artifacts.manifest import Examples
from components.convert.report.data import ReportData, ReportSample
from components.convert.report.sections.drift import drift_section, measure_drift

_EXAMPLES = Examples(
    fingerprint="f",
    inputs={},
    parameters={},
    source="dir:cells",
    licence="",
    image_size_px=75,
    channels=["red", "green"],
    class_names=["Nucleus", "Cytosol", "Vesicles"],
    shards={},
    num_quarantined=0,
)


def _data(samples: list[ReportSample]) -> ReportData:
    return ReportData(_EXAMPLES, samples, {}, {}, 0, {})


def _batch(batch: int, num_samples: int, num_cytosol: int, brightness: float) -> list[ReportSample]:
    """Samples that all show the nucleus and some the cytosol. The brightness of the green filter can be set."""
    noise = np.random.default_rng(batch).normal(0, 3, (num_samples, 2))
    samples = []
    for k in range(num_samples):
        mean = (20 + noise[k, 0], brightness + noise[k, 1])
        labels = (0, 1) if k < num_cytosol else (0,)
        name = f"{batch}-{k}"
        samples.append(ReportSample(name, "train", batch, labels, name, mean, tuple(m * m + 100 for m in mean)))
    return samples


def test_a_single_batch_is_not_compared() -> None:
    assert measure_drift(_data(_batch(0, 10, 5, 20))) is None
    assert measure_drift(_data([])) is None
    assert "only one batch" in drift_section(_data([]), None).content


def test_the_newest_batch_is_compared_with_all_earlier_ones() -> None:
    drift = measure_drift(_data(_batch(0, 30, 10, 20) + _batch(1, 20, 10, 20) + _batch(5, 40, 4, 20)))
    assert drift
    assert (drift.batch, drift.num_earlier, drift.num_newest) == (5, 50, 40)
    cytosol = next(change for change in drift.classes if change.name == "Cytosol")
    assert (cytosol.num_earlier, cytosol.num_newest) == (20, 4)
    assert cytosol.p_value == pytest.approx(stats.fisher_exact([[20, 30], [4, 36]]).pvalue)


def test_batches_of_one_source_do_not_differ_significantly() -> None:
    drift = measure_drift(_data(_batch(0, 300, 100, 20) + _batch(1, 100, 33, 20)))
    assert drift
    assert not any(map(drift.is_beyond_chance, [*drift.classes, *drift.moments]))
    assert drift.summary() == "The newest batch (100 distinct images) does not differ significantly from the earlier ones."


def test_only_the_changes_are_named() -> None:
    data = _data(_batch(0, 300, 100, 20) + _batch(1, 100, 90, 30))
    drift = measure_drift(data)
    assert drift
    assert drift.summary() == (
        "The newest batch (100 distinct images) differs from the earlier ones in the share of Cytosol, the brightness of green."
    )
    brightness = {m.filter_name: m.distance for m in drift.moments if m.moment == "brightness"}
    assert brightness["green"] > 0.8
    assert brightness["red"] < 0.2
    content = drift_section(data, drift).content
    assert content.count("changed</span>") == 2
    assert "+56.67 points" in content


def test_contrast_is_the_standard_deviation_of_an_image() -> None:
    drift = measure_drift(_data(_batch(0, 5, 1, 20) + _batch(1, 1, 1, 20)))
    assert drift
    contrast = next(m for m in drift.moments if m.moment == "contrast")
    np.testing.assert_allclose(contrast.earlier, [10] * 5)


def test_near_duplicates_do_not_make_a_change_significant() -> None:
    repeated = [ReportSample(f"r{k}", "train", 1, (1,), "one group", (50.0, 50.0), (2600.0, 2600.0)) for k in range(100)]
    drift = measure_drift(_data(_batch(0, 300, 30, 20) + repeated))
    assert drift
    assert drift.num_newest == 1
    assert not any(map(drift.is_beyond_chance, drift.classes))
