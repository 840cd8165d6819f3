"""Whether the model may be served, rule by rule."""

from markupsafe import Markup

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import outcome
from components.reports.page import Section, table

_WORDS = {
    "yes": "Blessed: it may be pushed.",
    "no": "Not blessed: it is not pushed.",
    "not enough evidence": "Not enough evidence: it is not pushed.",
}


def verdict_section(data: ReportData) -> Section:
    """The verdict and what each rule found."""
    found = data.verdict
    rows = [[finding.rule.capitalize(), outcome(finding.outcome), finding.reason] for finding in found.findings]
    heading = Markup('<p class="{}" style="font-size:1.15rem">{}</p>').format(
        "yes" if found.blessed else "no", _WORDS[found.outcome]
    )
    return Section(
        "Verdict",
        heading + table(["Rule", "holds", "why"], rows),
        f"Judged on the {data.evaluation.judged_on} split alone. All rules that are asked must hold. Intervals are over groups "
        "of related images: near-duplicates, and those that the table of labels groups.",
    )
