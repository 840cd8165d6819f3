"""The model card of the version in use."""

from components.artifacts.manifest import Evaluation
from components.reports.model_card import card_rows
from components.reports.page import Section, render_page, table
from components.serving.server.runner import LoadedVersion


def _macro_f1(judged: Evaluation) -> str:
    f1, baseline = judged.metrics["f1_macro"], judged.metrics["f1_macro_baseline"]
    samples = f"{judged.num_samples:,} samples of the {judged.judged_on} split"
    return f"{f1:.3f} on {samples}; a trivial classifier scores {baseline:.3f}"


def model_card(model_name: str, version: LoadedVersion) -> str:
    """The page as HTML."""
    trained = version.model.trained
    judged = version.model.evaluation
    own = [
        ["Macro F1", _macro_f1(judged) if judged else "see the evaluation report"],
        ["Precision", version.model.describe_precision()],
    ]
    thresholds = dict(zip(trained.class_names, map(float, version.model.thresholds), strict=True))
    shares = {name: f"{share:.2%}" for name, share in trained.class_frequencies.items()}
    classes = [[name, threshold, shares.get(name, "unknown")] for name, threshold in thresholds.items()]
    sections = [
        Section("Model card", table(["About", "Value"], [*card_rows(trained), *own])),
        Section(
            "Classes",
            table(["Class", "Threshold", "Training images"], classes),
            "A class is predicted at or above its threshold.",
        ),
    ]
    return render_page(f"{model_name}, version {version.name}", "The model in use.", sections)
