"""The evaluation report: how good the model is, beside its baselines, and where it errs."""

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.calibration import calibration_section
from components.evaluate.report_sections.classes import classes_section
from components.evaluate.report_sections.comparison import champion_section
from components.evaluate.report_sections.curves import curves_section
from components.evaluate.report_sections.errors import errors_section
from components.evaluate.report_sections.images import images_section
from components.evaluate.report_sections.model_card import model_card_section
from components.evaluate.report_sections.scoreboard import scoreboard_section
from components.evaluate.report_sections.verdict import verdict_section
from components.reports.page import render_page


def evaluation_report(data: ReportData) -> str:
    """Writes the page: HTML of at most 10 MB that needs no other file."""
    found = data.evaluation
    return render_page(
        "Evaluation report",
        f"Model {found.model_fingerprint} on {found.num_samples:,} samples of the {found.judged_on} split of {found.source}.",
        [
            verdict_section(data),
            scoreboard_section(data),
            classes_section(data),
            images_section(data),
            errors_section(data),
            curves_section(data),
            calibration_section(data),
            champion_section(data),
            model_card_section(data),
        ],
    )
