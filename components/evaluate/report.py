"""The evaluation report: what the model is good for, its errors, and its scores with their baselines."""

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.calibration import calibration_section
from components.evaluate.report_sections.classes import classes_section
from components.evaluate.report_sections.comparison import champion_section
from components.evaluate.report_sections.confusions import confusions_section
from components.evaluate.report_sections.curves import curves_section
from components.evaluate.report_sections.examples import example_sections
from components.evaluate.report_sections.model_card import model_card_section
from components.evaluate.report_sections.scoreboard import scoreboard_section
from components.evaluate.report_sections.summary import summary_section
from components.evaluate.report_sections.verdict import verdict_section
from components.reports.page import render_page


def evaluation_report(data: ReportData) -> str:
    """Renders the page: HTML of at most 10 MB that needs no other file."""
    found = data.evaluation
    return render_page(
        "Evaluation report",
        f"Model {found.model_fingerprint} on {found.num_samples:,} samples of the {found.judged_on} split of {found.source}.",
        [
            summary_section(data),
            classes_section(data),
            confusions_section(data),
            *example_sections(data),
            verdict_section(data),
            scoreboard_section(data),
            champion_section(data),
            curves_section(data),
            calibration_section(data),
            model_card_section(data),
        ],
    )
