"""The data report: the samples, their split, their images, and what was left out."""

from components.artifacts.manifest import Examples
from components.convert.report.data import ReportData
from components.convert.report.sections.classes import ClassCounts, classes_section, count_classes, labels_section
from components.convert.report.sections.contact_sheet import contact_sheet_section
from components.convert.report.sections.drift import drift_section, measure_drift
from components.convert.report.sections.duplicates import duplicates_section
from components.convert.report.sections.glance import glance_section
from components.convert.report.sections.intensities import intensities_section
from components.convert.report.sections.left_out import left_out_section
from components.convert.report.thumbnails import plan_thumbnails
from components.reports.page import Section, paragraphs, render_page
from components.runtime.wording import count_of


def data_report(data: ReportData) -> str:
    """Renders the page: HTML of at most 10 MB that needs no other file."""
    examples = data.examples
    plan = plan_thumbnails(len(examples.class_names), data.samples, data.quarantine)
    counts = count_classes(data)
    drift = measure_drift(data)
    return render_page(
        "Data report",
        _subtitle(examples, counts),
        [
            glance_section(data, counts, drift),
            contact_sheet_section(data, counts, plan),
            classes_section(counts),
            labels_section(data, counts),
            intensities_section(data),
            drift_section(data, drift),
            duplicates_section(data, plan),
            left_out_section(data, plan),
            Section("Licence", paragraphs(examples.licence)),
        ],
    )


def _subtitle(examples: Examples, counts: ClassCounts) -> str:
    sizes = ", ".join(f"{number:,} {split}" for split, number in counts.num_samples.items())
    split = examples.parameters.get("split", "")
    return (
        f"{count_of(sum(counts.num_samples.values()), 'sample')} from {examples.source} ({sizes}; split: {split}); "
        f"{examples.image_size_px} px; channels {', '.join(examples.channels)}."
    )
