"""What the model is good for, in plain words: the first section."""

from markupsafe import Markup

from components.evaluate.f1_intervals import MIN_CLASS_GROUPS
from components.evaluate.report_data import ReportData
from components.evaluate.summary import FALSE_ALARM, MISSED, RELIABLE
from components.reports.page import Section, named_values

_WORDS = {
    "yes": "Blessed: it may be pushed.",
    "no": "Not blessed: it is not pushed.",
    "not enough evidence": "Not enough evidence: it is not pushed.",
}
_KINDS = {RELIABLE: "yes", MISSED: "no", FALSE_ALARM: "no"}
_FOOTNOTE = (
    "Recognised reliably: the model finds more than two in three of the images that show the class, and more than two in "
    "three of its predictions are right (and more than if it predicted the class for every image). Often missed: it finds "
    "fewer. Often a false alarm: fewer of its predictions are right. Each with 95 % confidence: the whole interval is "
    "above or below two in three. Unclear: the interval contains two in three. Too few images: the class is in fewer than "
    f"{MIN_CLASS_GROUPS} groups of related images; the number of images is in brackets. Mixed up: both errors on the same "
    "image, at least twice as often as by chance."
)


def summary_section(data: ReportData) -> Section:
    """The verdict in one line, the reliable classes, and the meaning of these words."""
    verdict = Markup('<p><span class="{}">{}</span> <a href="#verdict">Why</a></p>').format(
        "yes" if data.verdict.blessed else "no", _WORDS[data.verdict.outcome]
    )
    lines = {
        Markup('<span class="{}">{}</span>').format(_KINDS.get(name, ""), name): line
        for name, line in data.evaluation.summary.items()
    }
    footnote = Markup('<p class="note small">{}</p>').format(_FOOTNOTE)
    return Section("What the model is good for", verdict + named_values(lines) + footnote)
