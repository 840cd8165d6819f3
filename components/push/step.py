"""The push step: publishes a blessed model for serving."""

from kfp.dsl import Artifact, Input, Model, Output


def push(
    model: Input[Model],
    thresholds: Input[Artifact],
    blessing: Input[Artifact],
    serving_root: str,
    pushed_model: Output[Model],
    model_name: str = "hpa",
) -> None:
    """Copies a blessed model to <serving_root>/<model_name>/<version>/ and promotes it to champion, or reports why not.

    Args:
        model: The SavedModel.
        thresholds: Its fitted thresholds, which are served with it.
        blessing: The verdict of evaluate.
        serving_root: Where models are served from: a folder, gs://<bucket>/<prefix> or s3://<bucket>/<prefix>.
        pushed_model: JSON with whether the model was pushed, its version and URI if it is served, and why it was not pushed.
        model_name: The folder of the model's versions.
    """
    import json
    import logging
    from pathlib import Path

    from components.artifacts.damage import naming
    from components.artifacts.manifest import MODEL_MANIFEST, Evaluation, TrainedModel
    from components.artifacts.parameters import check_parameters
    from components.runtime.progress import step_log
    from components.serving.promotion import SupersededError, push_model

    log = logging.getLogger("components.push")
    with step_log("push"):
        check_parameters(serving_root=serving_root, model_name=model_name)
        verdict = Evaluation.read(blessing.path)
        result = {"pushed": False, "reasons": verdict.reasons, "model_fingerprint": verdict.model_fingerprint}
        if verdict.blessed:
            with naming(thresholds.path, "fitted thresholds in JSON"):
                fitted = json.loads(Path(thresholds.path).read_text(encoding="utf-8"))["thresholds"]
            trained = TrainedModel.read(f"{model.path}/{MODEL_MANIFEST}")
            if (trained.fingerprint, fitted) != (verdict.model_fingerprint, verdict.thresholds):
                raise ValueError(
                    "Expected the model and thresholds of the evaluation that gave the blessing: "
                    f"{verdict.model_fingerprint} and {verdict.thresholds}. Received: {trained.fingerprint} and {fitted}"
                )
            try:
                version = push_model(Path(model.path), verdict, serving_root, model_name)
            except SupersededError as error:
                result["reasons"] = [str(error)]
                log.warning("not pushed: %s", error)
            else:
                result |= {"pushed": version.is_new, "version": version.number, "version_uri": version.uri}
                if not version.is_new:
                    result["reasons"] = [f"this model is already the champion, as version {version.number}"]
                log.info("version %d %s: %s", version.number, "pushed" if version.is_new else "already exists", version.uri)
        else:
            log.warning("not pushed, because the model is not blessed: %s", "; ".join(verdict.reasons))
        Path(pushed_model.path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        own = {
            "inputs": {"model": verdict.model_fingerprint, "evaluation": verdict.fingerprint},
            "parameters": {"model_name": model_name},
            "display_name": f"{model_name} version {result['version']}" if "version" in result else "nothing pushed",
            "reused": not result["pushed"] and "version" in result,
        }
        pushed_model.metadata.update(verdict.lineage() | result | own)
