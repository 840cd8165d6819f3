"""The metrics of each class."""

from markupsafe import Markup

from components.evaluate.f1_intervals import MIN_CLASS_GROUPS
from components.evaluate.metrics import ClassScore
from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import figures, meter, span
from components.evaluate.summary import grade
from components.reports.page import Section, folded, table, wide


def classes_section(data: ReportData) -> Section:
    """The number of found images of each class, its F1 as a bar, and all its figures as a table."""
    classes = sorted(data.classes, key=lambda score: -score.support)
    overview = table(
        ["Class", "found", "false alarms", "F1", "", "in short"], [_overview(score, len(data.ids)) for score in classes]
    )
    header = ["Class", "precision", "95 % interval", "recall", "95 % interval", "F1", "95 % interval", "F1 baseline"]
    details = table([*header, "average precision", "threshold"], [_details(score) for score in classes])
    return Section(
        "Classes",
        wide(overview) + folded("All figures of each class, with intervals", wide(details)),
        "F1 is high if most images of the class are found and few others are mistaken for it: 1 is perfect. Line: its 95 % "
        f"interval; there is none if the class is in fewer than {MIN_CLASS_GROUPS} groups of related images, or if F1 is 0 or "
        "1, which says little about other images. Red: the baseline, which predicts the class for every image.",
        "classes",
    )


def _overview(score: ClassScore, num_samples: int) -> list[object]:
    false_alarms = score.num_predicted - score.num_found
    found = figures(f"{score.num_found:,} of {score.support:,}", f"{false_alarms:,}")
    if not score.support:
        return [score.name, *found, "", "", "no image"]
    words = Markup('<span class="faint nowrap">{}</span>').format(", ".join(grade(score, num_samples)).lower())
    return [score.name, *found, score.f1, meter(score.f1, score.f1_interval, score.f1_baseline), words]


def _details(score: ClassScore) -> list[object]:
    if not score.support:
        return [score.name, *figures(*[None] * 8, score.threshold)]
    shares = figures(score.precision, span(score.precision_interval), score.recall, span(score.recall_interval))
    f1 = figures(score.f1, span(score.f1_interval), score.f1_baseline)
    return [score.name, *shares, *f1, *figures(score.average_precision, score.threshold)]
