"""The page about the model that answers: what its version says of it."""

from components.artifacts.manifest import Evaluation
from components.reports.model_card import INTENDED_USE, LIMITS
from components.reports.page import Section, render_page, table
from components.serving.server.runner import LoadedVersion


def _macro_f1(judged: Evaluation) -> str:
    f1, baseline = judged.metrics["f1_macro"], judged.metrics["f1_macro_baseline"]
    return (
        f"{f1:.3f} on {judged.num_samples:,} samples of the {judged.judged_on} split; a trivial classifier has {baseline:.3f}"
    )


def model_card(model_name: str, version: LoadedVersion) -> str:
    """The page as HTML."""
    trained = version.model.trained
    recipe = ", ".join(f"{name} {value}" for name, value in sorted(trained.parameters.items()))
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in sorted(trained.metrics.items()))
    judged = version.model.evaluation
    rows = [
        ["Input", f"{trained.image_size_px} x {trained.image_size_px} pixels of {', '.join(trained.channels)}"],
        ["Grey levels", f"{trained.intensity_range or 'those of 8 bits'} become 0 to 255"],
        ["Pixel size in training", f"{trained.pixel_size_um:.3g} µm" if trained.pixel_size_um else "unknown"],
        ["Fingerprint", f"{trained.fingerprint}, by code version {trained.code_version}"],
        ["Data", trained.source],
        ["Licence and credit of the data", trained.licence],
        ["Recipe", f"{recipe}; trained for {trained.epochs_trained} epochs, of which number {trained.best_epoch} is kept"],
        ["Metrics of that epoch", metrics or "none recorded"],
        ["Macro F1", _macro_f1(judged) if judged else "see the evaluation report"],
        ["Precision", version.model.describe_precision()],
        ["Intended use", INTENDED_USE],
        ["Limits", LIMITS],
    ]
    thresholds = [[name, float(value)] for name, value in zip(trained.class_names, version.model.thresholds, strict=True)]
    sections = [
        Section("Model card", table(["About", "what is known"], rows)),
        Section("Classes", table(["Class", "Threshold"], thresholds), "A class is predicted at or above its threshold."),
    ]
    return render_page(f"{model_name}, version {version.name}", "The model that answers now.", sections)
