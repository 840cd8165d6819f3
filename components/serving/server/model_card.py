"""The page about the model that answers: what its version says of it."""

from components.reports.model_card import card_rows
from components.reports.page import Section, render_page, table
from components.serving.server.runner import LoadedVersion


def model_card(model_name: str, version: LoadedVersion) -> str:
    """The page as HTML."""
    trained = version.model.trained
    thresholds = [[name, float(value)] for name, value in zip(trained.class_names, version.model.thresholds, strict=True)]
    sections = [
        Section("Model card", table(["About", "what is known"], card_rows(trained))),
        Section("Classes", table(["Class", "Threshold"], thresholds), "A class is predicted at or above its threshold."),
    ]
    return render_page(f"{model_name}, version {version.name}", "The model that answers now.", sections)
