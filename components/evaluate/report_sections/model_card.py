"""The model, its data, and its intended use (Mitchell et al., "Model Cards for Model Reporting", 2019)."""

from components.artifacts.manifest import SIGNATURES
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import metric_interval, span
from components.reports.model_card import INTENDED_USE, LIMITS
from components.reports.page import Section, named_values


def model_card_section(data: ReportData) -> Section:
    """The model card."""
    trained, found, examples = data.trained, data.evaluation, data.examples
    size = f"{trained.image_size_px} x {trained.image_size_px} pixels of {', '.join(trained.channels)}"
    splits = ", ".join(f"{examples.num_records(name):,} {name}" for name in examples.shards)
    split = examples.parameters.get("split", "")
    recipe = ", ".join(f"{name} {value}" for name, value in sorted(trained.parameters.items()))
    f1 = f"{found.metrics['f1_macro']:.3f} ({span(metric_interval(found.metrics, 'f1_macro'))})"
    rows = [
        ["Model", f"{trained.backbone} with one sigmoid for each of {len(trained.class_names)} classes; {size}"],
        ["Fingerprint", f"{trained.fingerprint}, by code version {trained.code_version}"],
        ["Data", f"{trained.source}; samples: {splits} (split: {split}); {examples.num_quarantined:,} left out as unusable"],
        ["Licence and credit of the data", trained.licence],
        ["Recipe", f"{recipe}; trained for {trained.epochs_trained} epochs, keeping epoch {trained.best_epoch}"],
        ["Decisions", found.threshold_method],
        ["Macro F1", f"{f1} on {found.num_samples:,} samples of the {found.judged_on} split; 95 % interval in brackets"],
        ["Precision", _precision(data)],
        ["Unlike training", _unlike(data)],
        ["Intended use", INTENDED_USE],
        ["Limits", LIMITS],
    ]
    return Section("Model card", named_values({name: value for name, value in rows if value}))


def _precision(data: ReportData) -> str:
    found = data.evaluation
    if found.differing_decisions is None:
        return found.serving_precision
    (other,) = SIGNATURES.keys() - {found.serving_precision}
    return f"{found.serving_precision}; in {other}, {found.differing_decisions:.3%} of the decisions differ"


def _unlike(data: ReportData) -> str:
    found = data.evaluation
    if found.unlike_share is None:
        return ""
    return (
        f"{found.unlike_share:.1%} of {found.num_samples:,} test samples are farther from the training images than 99 of 100 "
        "validation samples. Predictions mark such images. If their share is much above 1 %, the model sees something new"
    )
