"""Evaluates a model on examples: thresholds, figures, a verdict and a report."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from components.artifacts.damage import naming
from components.artifacts.examples import ExampleReader, open_splits, read_column, read_widths_um
from components.artifacts.manifest import MODEL_TRAINING_IDS, Evaluation, Examples, TrainedModel
from components.evaluate.blessing import Evidence, Rules, bless
from components.evaluate.bootstrap import number_groups
from components.evaluate.champion_model import DamagedChampionError, read_champion
from components.evaluate.comparison import Comparison, Contender, compare
from components.evaluate.confusions import find_confusions
from components.evaluate.inference import LoadedModel
from components.evaluate.metrics import Scores, confusion, micro_roc, scoreboard
from components.evaluate.performance import measure_performance
from components.evaluate.pictures import draw_pictures
from components.evaluate.report import evaluation_report
from components.evaluate.report_data import ReportData
from components.evaluate.settings import CLASS_METRICS, EVALUATION_REPORT, THRESHOLDS, EvaluateSettings
from components.evaluate.summary import summarise
from components.evaluate.thresholds import fit_thresholds
from components.runtime.scratch import scratch_folder
from components.serving.champion import Champion

_log = logging.getLogger(__name__)


def evaluate_model(
    model_dir: Path,
    trained: TrainedModel,
    examples: Examples,
    champion: Champion | None,
    data_root: str,
    settings: EvaluateSettings,
) -> Evaluation:
    """Fits thresholds on validation, judges on test, and publishes the result.

    Without a test split, the model is judged on validation and not blessed.

    Args:
        model_dir: The SavedModel.
        trained: Its manifest.
        examples: The records of all splits.
        champion: The champion to compare with, if any. If it is the same model, the two are compared only if their thresholds
            differ.
        data_root: The folder above `evaluation/`.
        settings: The parameters of the evaluation.
    """
    judged_on = "test" if examples.num_records("test") else "validation"
    groups = read_column(examples, "group")
    with open_splits(examples, sorted({"validation", judged_on})) as readers:
        model = LoadedModel(model_dir, settings.serving_precision)
        scores = {split: model.score(reader) for split, reader in readers.items()}
        validation, judged = scores["validation"], scores[judged_on]
        fitted = fit_thresholds(validation.y_true, validation.y_score, number_groups(validation.ids, groups), settings.seed)
        ids_path = model_dir / MODEL_TRAINING_IDS
        with naming(str(ids_path), "ids of samples"):
            ids = ids_path.read_text(encoding="utf-8").splitlines()
        challenger = Contender(judged.y_score, fitted.thresholds, ids, trained.fingerprint)
        comparison = Comparison(None, settings.obstacle) if settings.obstacle else None
        if champion:
            try:
                comparison = _compare(champion, challenger, judged, examples, readers[judged_on], groups)
            except DamagedChampionError as error:
                # If it is the same model, pushing it again restores its files.
                if champion.model_fingerprint != trained.fingerprint:
                    comparison = Comparison(champion.version, str(error))
                    settings = replace(settings, obstacle=str(error))
        pictures = draw_pictures(model, readers[judged_on], judged, fitted.thresholds, read_widths_um(examples))
        differing = model.differing_decisions(readers[judged_on], judged, fitted.thresholds)
    numbers = number_groups(judged.ids, groups)
    performance = measure_performance(judged, fitted.thresholds, numbers, examples.class_names, settings.seed)
    confusions = find_confusions(judged.y_true, challenger.answers.y_pred, numbers)
    evidence = Evidence(
        judged_on=judged_on,
        num_samples=len(judged.ids),
        num_groups=int(numbers.max()) + 1,
        num_classes=len(examples.class_names),
        num_common=int(performance.f1.is_common.sum()),
        f1_macro=performance.f1.macro(),
        baselines=performance.baseline_gains,
        num_invalid=validation.num_invalid + (judged.num_invalid if judged is not validation else 0),
        comparison=comparison,
    )
    verdict = bless(evidence, Rules(settings.blessing_min_gain, settings.blessing_max_class_drop))
    _log.info("%s: %s", verdict.title, "; ".join(verdict.reasons))
    manifest = Evaluation(
        fingerprint=settings.fingerprint(examples),
        inputs=settings.inputs(examples),
        parameters=settings.parameters(),
        source=examples.source,
        licence=examples.licence,
        model_fingerprint=settings.model_fingerprint,
        judged_on=judged_on,
        num_samples=evidence.num_samples,
        num_groups=evidence.num_groups,
        threshold_method=fitted.method,
        thresholds=fitted.thresholds.tolist(),
        blessed=verdict.blessed,
        verdict=verdict.outcome,
        reasons=verdict.reasons,
        summary=summarise(performance.metrics, performance.classes, confusions, len(judged.ids)),
        champion_version=champion.version if champion else None,
        champion_generation=champion.generation if champion else "",
        metrics=performance.metrics,
        validation_metrics=scoreboard(validation.y_true, validation.y_score, fitted.thresholds),
        baselines=performance.baselines,
        references=performance.references,
        serving_precision=settings.serving_precision,
        differing_decisions=differing,
        unlike_share=_unlike_share(trained, settings.serving_precision, judged) if judged_on == "test" else None,
    )
    page = ReportData(
        evaluation=manifest,
        verdict=verdict,
        trained=trained,
        examples=examples,
        ids=judged.ids,
        y_true=judged.y_true,
        y_score=judged.y_score,
        y_pred=challenger.answers.y_pred,
        classes=performance.classes,
        confusions=confusions,
        thresholds=fitted,
        comparison=comparison,
        pictures=pictures,
    )
    with scratch_folder() as folder:
        _write(folder, page)
        return manifest.publish(settings.uri(examples, data_root), folder)


def _unlike_share(trained: TrainedModel, precision: str, judged: Scores) -> float | None:
    usual = trained.usual_distances.get(precision)
    return None if usual is None or judged.distances is None else float((judged.distances > usual).mean())


def _compare(
    champion: Champion,
    challenger: Contender,
    judged: Scores,
    examples: Examples,
    reader: ExampleReader,
    groups: dict[str, str],
) -> Comparison | None:
    """Compares champion and challenger; None if both the model and the thresholds are the same."""
    with scratch_folder() as folder:
        served = read_champion(champion, folder)
        if champion.model_fingerprint == challenger.fingerprint and np.array_equal(served.thresholds, challenger.thresholds):
            return None
        if obstacle := served.obstacle(examples):
            return Comparison(champion.version, obstacle)
        _log.info("evaluating the champion (version %d) on the same images", champion.version)
        said = served.score(reader)
    rival = Contender(said.y_score, served.thresholds, served.training_ids)
    found = compare(champion.version, challenger, rival, judged.y_true, judged.ids, groups, examples.class_names)
    return replace(found, is_verified=served.is_verified)


def _write(folder: Path, page: ReportData) -> None:
    fitted = {"method": page.thresholds.method, "thresholds": page.evaluation.thresholds}
    curves = {
        "roc": micro_roc(page.y_true, page.y_score),
        "confusion": confusion(page.y_true, page.y_pred),
        "classes": [asdict(score) for score in page.classes],
    }
    (folder / THRESHOLDS).write_text(json.dumps(fitted), encoding="utf-8")
    (folder / CLASS_METRICS).write_text(json.dumps(curves), encoding="utf-8")
    (folder / EVALUATION_REPORT).write_text(evaluation_report(page), encoding="utf-8")
