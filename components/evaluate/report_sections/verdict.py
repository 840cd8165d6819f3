"""Whether the model may be served, rule by rule."""

from components.evaluate.report_data import ReportData
from components.evaluate.report_sections.look import outcome
from components.reports.page import Section, table, wide


def verdict_section(data: ReportData) -> Section:
    """The outcome of each rule."""
    rows = [[finding.rule.capitalize(), outcome(finding.outcome), finding.reason] for finding in data.verdict.findings]
    return Section(
        "Verdict",
        wide(table(["Rule", "holds", "why"], rows)),
        f"Judged on the {data.evaluation.judged_on} split alone. All rules that are not switched off must hold. Intervals are "
        "over groups of related images: near-duplicates, and images grouped by the table of labels (group_column).",
        "verdict",
    )
