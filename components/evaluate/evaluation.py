"""One evaluation: from a model and examples to figures, thresholds, a verdict and a page."""

import json
import logging
import tempfile
from pathlib import Path

import numpy as np

from components.evaluate.blessing import bless
from components.evaluate.inference import score_examples
from components.evaluate.metrics import class_scores, confusion, micro_roc, scoreboard
from components.evaluate.report import evaluation_report
from components.evaluate.request import CLASS_METRICS, EVALUATION_REPORT, THRESHOLDS, Request
from components.evaluate.thresholds import fit_global_threshold
from components.shared.manifest import Evaluation, Examples
from components.shared.staging import staged

_log = logging.getLogger(__name__)


def evaluate_model(model_dir: Path, examples: Examples, data_root: str, request: Request) -> Evaluation:
    """Fits the threshold on validation, judges on test, and publishes the result.

    Where there is no test split, validation is judged on, and the model is not blessed.

    Args:
        model_dir: The SavedModel.
        examples: Records of all sides of the split.
        data_root: The folder above `evaluation/`.
        request: Which model it is, and how to judge.
    """
    judged_on = "test" if examples.num_records("test") else "validation"
    with staged(examples, sorted({"validation", judged_on})) as local:
        return _evaluate_staged(model_dir, local, judged_on, request.uri(examples, data_root), request)


def _evaluate_staged(model_dir: Path, examples: Examples, judged_on: str, uri: str, request: Request) -> Evaluation:
    scores = score_examples(model_dir, examples, sorted({"validation", judged_on}))
    threshold = fit_global_threshold(scores["validation"].y_true, scores["validation"].y_score)
    judged = scores[judged_on]
    y_pred = judged.y_score >= threshold
    figures = scoreboard(judged.y_true, judged.y_score, threshold)
    verdict = bless(figures, judged_on, request.blessing_min_gain)
    _log.info("%s: %s", "blessed" if verdict.blessed else "not blessed", "; ".join(verdict.reasons))
    manifest = Evaluation(
        fingerprint=request.fingerprint(examples),
        inputs={"model": request.model_fingerprint, "examples": examples.fingerprint},
        parameters={"blessing_min_gain": request.blessing_min_gain},
        source=examples.source,
        licence=examples.licence,
        model_fingerprint=request.model_fingerprint,
        judged_on=judged_on,
        num_samples=len(judged.ids),
        threshold=threshold,
        blessed=verdict.blessed,
        reasons=verdict.reasons,
        metrics=figures,
        validation_metrics=scoreboard(scores["validation"].y_true, scores["validation"].y_score, threshold),
    )
    thresholds = np.full(len(examples.class_names), threshold)
    classes = class_scores(judged.y_true, y_pred, thresholds, examples.class_names)
    with tempfile.TemporaryDirectory() as temp_dir:
        folder = Path(temp_dir)
        fitted = {"method": "one threshold, best macro F1 on validation", "thresholds": thresholds.tolist()}
        (folder / THRESHOLDS).write_text(json.dumps(fitted), encoding="utf-8")
        curves = {
            "roc": micro_roc(judged.y_true, judged.y_score),
            "confusion": confusion(judged.y_true, y_pred),
            "classes": [vars(score) for score in classes],
        }
        (folder / CLASS_METRICS).write_text(json.dumps(curves), encoding="utf-8")
        page = evaluation_report(manifest, classes, examples, judged, y_pred)
        (folder / EVALUATION_REPORT).write_text(page, encoding="utf-8")
        return manifest.publish(uri, folder)
