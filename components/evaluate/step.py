"""The evaluate step: how good the exported model is, and whether it may be pushed."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output


def evaluate(
    examples: Input[Dataset],
    model: Input[Model],
    data_root: str,
    serving_root: str,
    metrics: Output[Metrics],
    class_metrics: Output[ClassificationMetrics],
    thresholds: Output[Artifact],
    blessing: Output[Artifact],
    evaluation_report: Output[HTML],
    model_name: str = "hpa",
    blessing_min_gain: float = 0.0,
    blessing_max_class_drop: float = 0.05,
    serving_precision: str = "float32",
    seed: int = 0,
) -> None:
    """Fits the decision thresholds on the validation split, judges the model on the test split, and blesses it or not.

    Args:
        examples: The output of convert.
        model: The SavedModel that would be served.
        data_root: Where bulk data lives: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        serving_root: Where models are served from: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>. The champion is
            found there.
        metrics: Each metric with its interval and its baseline, the score of a trivial classifier; F1 of each class.
        class_metrics: ROC curve and confusion matrix over all pairs of sample and class.
        thresholds: The fitted thresholds (JSON).
        blessing: The verdict with its reasons (JSON).
        evaluation_report: A page with all results.
        model_name: The folder of the model's versions.
        blessing_min_gain: The gain in macro F1 that is required over the champion on the same samples, and over the baselines
            with the whole 95 % interval. -1 switches these rules off, for experiments.
        blessing_max_class_drop: How far the F1 of a class may be below the champion's, beyond its noise band. 1 switches this
            rule off.
        serving_precision: float32 or bfloat16: the precision of the evaluation and of predictions. On processors with
            AMX or AVX512-BF16, bfloat16 takes a fraction of the time.
        seed: Seeds the bootstrap and the folds that thresholds are compared on.
    """
    import json
    import logging
    from pathlib import Path

    from components.artifacts.damage import naming
    from components.artifacts.manifest import MODEL_MANIFEST, Examples, TrainedModel
    from components.artifacts.parameters import check_parameters
    from components.evaluate import settings
    from components.runtime.mlflow_run import MlflowRun
    from components.runtime.progress import step_log
    from components.serving.champion import find_pointer

    with step_log("evaluate"):
        check_parameters(
            serving_root=serving_root,
            model_name=model_name,
            blessing_min_gain=blessing_min_gain,
            blessing_max_class_drop=blessing_max_class_drop,
            serving_precision=serving_precision,
            seed=seed,
        )
        records = Examples.read(examples.path)
        trained = TrainedModel.read(f"{model.path}/{MODEL_MANIFEST}")
        pointer = find_pointer(serving_root, model_name)
        champion = pointer.champion
        wanted = settings.EvaluateSettings(
            trained.fingerprint,
            champion.model_fingerprint if champion else "",
            blessing_min_gain,
            blessing_max_class_drop,
            seed,
            serving_precision,
            champion.evaluation_fingerprint if champion else "",
            settings.find_obstacle(pointer, trained.fingerprint),
        )
        found = done = wanted.find(records, data_root, champion)
        if done:
            logging.getLogger("components.evaluate").info("this model is already evaluated: %s", done.uri)
        else:
            from components.evaluate.evaluation import evaluate_model

            done = evaluate_model(Path(model.path), trained, records, champion, data_root, wanted)
        done.remove_rest()
        if champion:  # the evaluation may be old: push checks whether the pointer has changed from now on
            now = {"champion_version": champion.version, "champion_generation": champion.generation}
            done = done.model_copy(update=now)
        done.save(blessing)
        done.fetch_file(settings.THRESHOLDS, Path(thresholds.path))
        done.fetch_file(settings.EVALUATION_REPORT, Path(evaluation_report.path))
        with naming(done.file_uri(settings.CLASS_METRICS), "curves in JSON", f"delete {done.uri} and run again"):
            curves = json.loads(done.read_file(settings.CLASS_METRICS))
        Path(class_metrics.path).write_text(json.dumps(curves), encoding="utf-8")
        class_metrics.log_confusion_matrix(["absent", "present"], curves["confusion"])
        if curves["roc"]["fpr"]:
            class_metrics.log_roc_curve(curves["roc"]["fpr"], curves["roc"]["tpr"], curves["roc"]["threshold"])
        Path(metrics.path).write_text(json.dumps(done.metrics), encoding="utf-8")
        figures = done.metrics | {f"f1 {score['name']}": score["f1"] for score in curves["classes"] if score["support"]}
        for name, value in figures.items():
            metrics.log_metric(name, value)
        if (mlflow_run := MlflowRun()).is_named:
            mlflow_run.log_metrics(figures)
            mlflow_run.log_text(Path(evaluation_report.path).read_text(encoding="utf-8"), settings.EVALUATION_REPORT)
        done.describe(metrics, class_metrics, thresholds, blessing, evaluation_report, reused=bool(found))
