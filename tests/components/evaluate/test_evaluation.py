"""Whole evaluations of hand-made models and hand-made champions."""

import hashlib
import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score

from components import storage
from components.artifacts.examples import open_splits
from components.artifacts.manifest import MODEL_MANIFEST, Evaluation, Examples, TrainedModel
from components.evaluate import inference
from components.evaluate.evaluation import evaluate_model
from components.evaluate.inference import LoadedModel
from components.evaluate.metrics import Scores
from components.evaluate.settings import CLASS_METRICS, EVALUATION_REPORT, FORMAT, THRESHOLDS, EvaluateSettings
from components.evaluate.thresholds import fit_global_threshold
from components.serving.champion import Champion, find_champion, promote

MakeExamples = Callable[..., Examples]
MakeModel = Callable[..., Path]
MakeChampion = Callable[..., Champion]

_SETTINGS = EvaluateSettings("model0", "", 0.0, 0.05, 0, "float32")


@pytest.fixture(scope="module")
def examples(make_examples: MakeExamples, tmp_path_factory: pytest.TempPathFactory) -> Examples:
    return make_examples(tmp_path_factory.mktemp("examples"), groups={"test-000": "pair", "test-001": "pair"})


@pytest.fixture(scope="module")
def good(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("good") / "model")


def _evaluate(
    model: Path,
    examples: Examples,
    data_root: Path | str,
    champion: Champion | None = None,
    settings: EvaluateSettings = _SETTINGS,
) -> Evaluation:
    trained = TrainedModel.read(str(model / MODEL_MANIFEST))
    wanted = replace(settings, champion_fingerprint=champion.model_fingerprint if champion else "")
    return evaluate_model(model, trained, examples, champion, str(data_root), wanted)


def _score_test(model: Path, examples: Examples) -> Scores:
    with open_splits(examples, ["test"]) as splits:
        return LoadedModel(model).score(splits["test"])


def _page(evaluation: Evaluation) -> str:
    return Path(evaluation.file_uri(EVALUATION_REPORT)).read_text()


def _words(page: str, title: str) -> str:
    content = page.split(f"<h2>{title}</h2>")[1].partition("<h2>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", content)).split())


@pytest.fixture(scope="module")
def first(good: Path, examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return _evaluate(good, examples, tmp_path_factory.mktemp("first"))


class TestFirstModel:
    """A model that knows every class, and no champion."""

    def test_a_model_is_blessed_for_beating_the_baselines(self, first: Evaluation) -> None:
        assert (first.verdict, first.blessed) == ("yes", True)
        assert (first.judged_on, first.num_samples, first.num_groups) == ("test", 120, 119)
        assert (first.champion_version, first.champion_generation) == (None, "")
        assert first.inputs == {"model": "model0", "examples": "examples0"}

    def test_figures_are_those_of_the_exported_model_at_its_thresholds(
        self, first: Evaluation, good: Path, examples: Examples
    ) -> None:
        scores = _score_test(good, examples)
        fitted = json.loads(Path(first.file_uri(THRESHOLDS)).read_text())
        assert fitted == {"method": first.threshold_method, "thresholds": first.thresholds}
        y_pred = scores.y_score >= np.array(first.thresholds, np.float32)
        expected = f1_score(scores.y_true, y_pred, average=None, zero_division=0)
        assert first.metrics["f1_macro"] == pytest.approx(expected.mean())
        curves = json.loads(Path(first.file_uri(CLASS_METRICS)).read_text())
        assert [score["f1"] for score in curves["classes"]] == pytest.approx(expected.tolist())
        assert np.sum(curves["confusion"]) == 120 * 6

    def test_every_figure_has_an_interval_and_baselines(self, first: Evaluation) -> None:
        names = [name for name in first.metrics if not name.endswith(("_low", "_high", "_baseline"))]
        assert len(names) == 10
        assert first.metrics["f1_macro_common"] == pytest.approx(first.metrics["f1_macro"])  # every class is common
        for name in names:
            assert first.metrics[f"{name}_low"] <= first.metrics[name] <= first.metrics[f"{name}_high"]
            assert {name, f"{name}_baseline"} <= first.metrics.keys()
            assert all(name in figures for figures in first.baselines.values())
        assert set(first.baselines) == {"always_no", "class_prior"}
        assert set(first.references) == {"three_commonest"}
        assert "the best baseline (class frequencies)" in first.reasons[0]  # the reference scores higher
        assert first.references["three_commonest"]["f1_macro"] > first.metrics["f1_macro_baseline"]
        assert "reference: perfect on the 3 commonest classes" in _words(_page(first), "Scoreboard")

    def test_an_evaluation_is_reused_only_for_the_same_request(self, first: Evaluation, examples: Examples) -> None:
        data_root = first.uri.split("/evaluation/")[0]
        assert _SETTINGS.find(examples, data_root) == first
        others = [
            replace(_SETTINGS, model_fingerprint="m"),
            replace(_SETTINGS, champion_fingerprint="c"),
            replace(_SETTINGS, blessing_min_gain=0.1),
            replace(_SETTINGS, blessing_max_class_drop=0.1),
            replace(_SETTINGS, seed=1),
            replace(_SETTINGS, serving_precision="bfloat16"),
        ]
        assert [other.find(examples, data_root) for other in others] == [None] * len(others)
        assert len({settings.fingerprint(examples) for settings in [_SETTINGS, *others]}) == 7

    def test_the_page_is_small_self_contained_and_has_all_sections(self, first: Evaluation) -> None:
        page = _page(first)
        assert len(page.encode()) < 10_000_000
        assert not re.search(r'(src|href)="(?!data:|#)', page)
        titles = [html.unescape(title) for title in re.findall(r"<h2>(.*?)</h2>", page)]
        assert titles == [
            "What the model is good for",
            "Classes",
            "Missed classes, and what is predicted instead",
            "Predicted images, right and wrong",
            "Predicted images of the other classes",
            "Verdict",
            "Scoreboard",
            "Champion against challenger",
            "Precision-recall and ROC curves",
            "Calibration",
            "Model card",
        ]
        assert _words(page, "What the model is good for").startswith("Blessed: it may be pushed. Why Recognised reliably ")
        assert re.search(r"however few its positives are \(never used\) [01]\.\d{3} [01]\.\d{3}", _words(page, "Scoreboard"))
        assert "There is no champion yet" in _words(page, "Champion against challenger")
        for words in (
            "Image credit: Human Protein Atlas",
            "recipe paper",
            "Not for diagnosis",
            "20 train, 120 validation, 120 test",
        ):
            assert words in _words(page, "Model card")
        images = _words(page, "Predicted images, right and wrong")
        assert "class activation map, 8 x 8 pixels" in images
        assert re.search(r"Found : [01]\.\d{3} shows ", images)
        assert "Rods &amp; rings" in page
        assert "Rods & rings" not in page


def test_a_model_is_judged_in_its_serving_precision(
    make_model: MakeModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "multiplies_bfloat16", lambda: True)
    model = make_model(tmp_path / "model", with_bfloat16=True, usual_distances={"bfloat16": 1.2})
    found = _evaluate(model, examples, tmp_path, settings=replace(_SETTINGS, serving_precision="bfloat16"))
    with open_splits(examples, ["test"]) as splits:
        (pixels,) = splits["test"].batches(120)
    signatures = tf.saved_model.load(str(model)).signatures
    exact, rounded = (signatures[name](pixels=pixels) for name in ("pixels", "pixels_bfloat16"))
    assert found.serving_precision == "bfloat16"
    of_both = [answer["probabilities"] >= np.array(found.thresholds, np.float32) for answer in (exact, rounded)]
    assert found.differing_decisions == pytest.approx(np.mean(of_both[0] != of_both[1]))
    assert found.unlike_share == pytest.approx(np.mean(rounded["distances"] > 1.2))
    assert 0 < found.unlike_share < 1
    card = _words(_page(found), "Model card")
    assert f"bfloat16; in float32, {found.differing_decisions:.3%} of the decisions differ" in card
    assert f"{found.unlike_share:.1%} of 120 test samples are farther from the training images" in card


def test_a_precision_without_an_exported_signature_is_refused(good: Path, examples: Examples, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^serving_precision: the model cannot compute in bfloat16"):
        _evaluate(good, examples, tmp_path, settings=replace(_SETTINGS, serving_precision="bfloat16"))


def test_two_evaluations_with_the_same_seed_are_equal(
    first: Evaluation, good: Path, examples: Examples, tmp_path: Path
) -> None:
    again = _evaluate(good, examples, tmp_path)
    assert again.model_copy(update={"uri": first.uri, "attempt": first.attempt}) == first
    for name in (THRESHOLDS, CLASS_METRICS, EVALUATION_REPORT):
        assert Path(again.file_uri(name)).read_bytes() == Path(first.file_uri(name)).read_bytes()


def _rounded(data: bytes) -> str:
    """JSON whose numbers do not depend on the instructions of the processor."""
    return json.dumps(json.loads(data, parse_float=lambda text: f"{float(text):.9g}"))


def test_results_change_only_with_format(
    make_model: MakeModel, make_champion: MakeChampion, examples: Examples, tmp_path: Path
) -> None:
    """If this fails because results were changed on purpose: increment FORMAT in settings.py, and update the digest here."""
    champion = make_champion(tmp_path / "serving", known=[0, 1], is_coarse=True)
    found = _evaluate(make_model(tmp_path / "model", known=range(1, 6), is_coarse=True), examples, tmp_path, champion)
    manifest = found.model_copy(update={"uri": "", "attempt": "", "code_version": "", "files": {}})
    parts = [
        _rounded(manifest.to_json()),
        *(_rounded(Path(found.file_uri(name)).read_bytes()) for name in (THRESHOLDS, CLASS_METRICS)),
    ]
    # Without the pictures, which depend on the processor.
    page = re.sub(r'src="data:[^"]*"', "", _page(found))
    parts.append(page.replace(f"by code version {found.code_version}", ""))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    assert (FORMAT, digest) == (10, "5b2dff804910a499248eba24b7cbc7b7cd09849e9d4ef29b131ea62686aa6e25")


def test_a_model_that_ignores_the_image_is_not_blessed(make_model: MakeModel, examples: Examples, tmp_path: Path) -> None:
    blind = _evaluate(make_model(tmp_path / "model", known=[], with_maps=False), examples, tmp_path)
    assert blind.verdict == "no"
    page = _page(blind)
    assert "Not blessed: it is not pushed." in _words(page, "What the model is good for")
    assert "class activation map" not in page


def test_without_a_test_split_validation_is_judged_and_nothing_is_blessed(
    make_examples: MakeExamples, good: Path, tmp_path: Path
) -> None:
    examples = make_examples(tmp_path, {"train": 4, "validation": 60, "test": 0})
    found = _evaluate(good, examples, tmp_path, settings=replace(_SETTINGS, blessing_min_gain=-1.0))
    assert (found.judged_on, found.num_samples, found.verdict) == ("validation", 60, "no")
    assert "there is no test split to judge on" in found.reasons[0]


def test_four_samples_are_not_enough_evidence_for_the_best_model(
    make_examples: MakeExamples, good: Path, tmp_path: Path
) -> None:
    examples = make_examples(tmp_path, {"train": 4, "validation": 4, "test": 4})
    found = _evaluate(good, examples, tmp_path)
    assert found.verdict == "not enough evidence"
    assert "4 groups of samples are too few" in found.reasons[0]
    relaxed = _evaluate(good, examples, tmp_path / "relaxed", settings=replace(_SETTINGS, blessing_min_gain=-1.0))
    assert relaxed.blessed
    assert "Better than the baselines switched off" in _words(_page(relaxed), "Verdict")
    assert '<span class="faint">switched off</span>' in _page(relaxed)


class TestChampion:
    """The same good model against champions that are worse, have seen other samples, or cannot be evaluated."""

    def test_a_worse_champion_is_beaten(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        champion = make_champion(tmp_path, known=[0, 1])
        found = _evaluate(good, examples, tmp_path, champion)
        assert found.verdict == "yes"
        assert (found.champion_version, found.champion_generation) == (3, "g")
        assert found.inputs["champion"] == "champion0"
        assert any("compared with the champion (version 3) on the same 120 samples" in reason for reason in found.reasons)
        assert "challenger minus champion" in _words(_page(found), "Champion against challenger")

    def test_a_model_that_forgot_a_class_does_not_replace_it(
        self, make_champion: MakeChampion, make_model: MakeModel, examples: Examples, tmp_path: Path
    ) -> None:
        model = make_model(tmp_path / "model", known=[0, 1, 2, 3, 5])
        found = _evaluate(model, examples, tmp_path, make_champion(tmp_path / "serving"))
        assert found.verdict == "no"
        assert any("beyond their noise band: Aggresome (" in reason for reason in found.reasons)

    def test_an_equal_champion_is_kept(
        self, make_champion: MakeChampion, good: Path, examples: Examples, first: Evaluation, tmp_path: Path
    ) -> None:
        """The same network under another name: pushing it would change nothing."""
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, thresholds=first.thresholds))
        assert found.verdict == "not enough evidence"
        assert any("both make the same decisions, so nothing would change" in reason for reason in found.reasons)

    def test_the_champion_is_evaluated_with_its_own_thresholds(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        """The same network with unreachable thresholds is a bad champion."""
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, thresholds=(0.9999,) * 6))
        assert found.verdict == "yes"
        (reason,) = [reason for reason in found.reasons if "compared with the champion" in reason]
        assert float(re.findall(r"macro F1 is \d\.\d+ versus (\d\.\d+)", reason)[0]) < 0.3

    def test_the_champions_training_samples_are_left_out_with_their_near_duplicates(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        seen = ["test-000", *(f"test-{number:03d}" for number in range(10, 20)), "validation-003", "of long ago"]
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, known=[0, 1], training_ids=seen))
        (reason,) = [reason for reason in found.reasons if "neither has seen" in reason]
        assert (
            "on the 108 samples that neither has seen (of this split, 11 were used in training, and 1 are in a group" in reason
        )
        assert found.num_samples == 120  # the model's own figures are on all samples

    def test_a_champion_trained_on_the_whole_split_cannot_be_compared(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        seen = [f"test-{number:03d}" for number in range(120)]
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, known=[0], training_ids=seen))
        assert found.verdict == "not enough evidence"
        assert "There is no sample of the split that neither has seen" in _words(_page(found), "Champion against challenger")

    def test_a_champion_with_another_image_size_cannot_be_evaluated(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, image_size_px=75))
        assert found.verdict == "not enough evidence"
        assert "its pixels per side are 75, but those of the examples are 8" in found.reasons[0]
        assert "cannot be evaluated" in _words(_page(found), "Champion against challenger")

    def test_other_thresholds_of_the_same_model_are_compared(
        self, make_champion: MakeChampion, good: Path, examples: Examples, first: Evaluation, tmp_path: Path
    ) -> None:
        own = {"fingerprint": "model0"}
        same = _evaluate(good, examples, tmp_path / "a", make_champion(tmp_path / "a", thresholds=first.thresholds, **own))
        assert (same.verdict, same.reasons) == ("yes", first.reasons)
        worse = _evaluate(good, examples, tmp_path / "b", make_champion(tmp_path / "b", thresholds=(0.9999,) * 6, **own))
        assert worse.verdict == "yes"
        assert any("compared with the champion (version 3) on the same 120 samples" in reason for reason in worse.reasons)
        tests = _score_test(good, examples)
        best = [fit_global_threshold(tests.y_true[:, [k]], tests.y_score[:, [k]]) for k in range(6)]
        better = _evaluate(good, examples, tmp_path / "c", make_champion(tmp_path / "c", thresholds=best, **own))
        assert better.verdict in ("no", "not enough evidence")

    @pytest.mark.parametrize("name", ["saved_model.pb", "assets/thresholds.csv", "variables/variables.data-00000-of-00001"])
    def test_a_damaged_champion_is_not_enough_evidence_until_it_is_repaired(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path, name: str
    ) -> None:
        champion = make_champion(tmp_path, known=[0, 1])
        path = Path(champion.uri, name)
        whole = path.read_bytes()
        path.write_bytes(b"?" + whole[1:])
        found = _evaluate(good, examples, tmp_path, champion)
        assert found.verdict == "not enough evidence"
        assert f"{name} has other content" in found.reasons[0]
        assert "cannot be evaluated on these samples" in _words(_page(found), "Champion against challenger")
        path.write_bytes(whole)
        asked = replace(_SETTINGS, champion_fingerprint=champion.model_fingerprint)
        assert asked.find(examples, str(tmp_path), champion) is None
        assert _evaluate(good, examples, tmp_path, champion).verdict == "yes"

    def test_a_damaged_champion_of_the_same_model_is_pushed_again(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        champion = make_champion(tmp_path, fingerprint="model0")
        Path(champion.uri, "saved_model.pb").unlink()
        assert _evaluate(good, examples, tmp_path, champion).blessed

    def test_a_champion_with_nan_outputs_cannot_be_evaluated(
        self, make_champion: MakeChampion, good: Path, examples: Examples, tmp_path: Path
    ) -> None:
        found = _evaluate(good, examples, tmp_path, make_champion(tmp_path, says_nan=True))
        assert found.verdict == "not enough evidence"
        assert "of its 720 outputs are not numbers from 0 to 1" in found.reasons[0]

    @pytest.mark.object_store
    def test_a_champion_in_an_object_store_is_verified_and_compared(
        self, make_champion: MakeChampion, good: Path, examples: Examples, remote_root: str, tmp_path: Path
    ) -> None:
        here = make_champion(tmp_path, known=[0, 1])
        storage.create_tree(Path(here.uri), f"{remote_root}/serving/hpa/3")
        promote(replace(here, generation=""), f"{remote_root}/serving", "hpa")
        champion = find_champion(f"{remote_root}/serving", "hpa")
        assert champion
        found = _evaluate(good, examples, f"{remote_root}/data", champion)
        assert found.verdict == "yes"
        assert found.champion_generation == champion.generation
        assert any("compared with the champion (version 3) on the same 120 samples" in reason for reason in found.reasons)
        storage.replace_bytes(f"{champion.uri}/assets/thresholds.csv", b"0.5\n" * 6 + b"\n")
        spoilt = _evaluate(good, examples, f"{remote_root}/data", champion)
        assert spoilt.verdict == "not enough evidence"
        assert f"in {champion.uri}, assets/thresholds.csv has other content" in spoilt.reasons[0]
        storage.remove_tree(champion.uri)
        assert "saved_model.pb is missing" in _evaluate(good, examples, f"{remote_root}/data", champion).reasons[0]


def test_nan_outputs_are_a_reason_against_a_model(make_model: MakeModel, examples: Examples, tmp_path: Path) -> None:
    found = _evaluate(make_model(tmp_path / "model", says_nan=True), examples, tmp_path)
    assert found.verdict == "no"
    assert "of its outputs are not numbers from 0 to 1" in found.reasons[0]
    assert "Every output is a probability" in _words(_page(found), "Verdict")


def test_with_an_unknown_champion_nothing_is_blessed(good: Path, examples: Examples, tmp_path: Path) -> None:
    lost = replace(_SETTINGS, obstacle="there is no champion.json, although there are versions")
    found = _evaluate(good, examples, tmp_path, settings=lost)
    assert found.verdict == "not enough evidence"
    assert "the champion cannot be evaluated on these samples (there is no champion.json" in found.reasons[0]
    assert _SETTINGS.find(examples, str(tmp_path)) is None
