"""What each class looks like."""

from markupsafe import Markup

from components.convert.report.data import ReportData
from components.convert.report.sections.classes import ClassCounts
from components.convert.report.sections.look import TILE_GRID, class_words, paragraphs, picture
from components.convert.report.thumbnails import ThumbnailPlan
from components.reports.page import Section, tiles
from components.reports.stains import legend
from components.runtime.wording import count_of

_HEADING = "margin:0 0 .35rem;font-size:.95rem"


def contact_sheet_section(data: ReportData, counts: ClassCounts, plan: ThumbnailPlan) -> Section:
    """A few samples of each class, in the order of the classes."""
    samples = {sample.sample_id: sample for sample in data.samples}
    names = data.examples.class_names
    blocks = []
    for label, sample_ids in sorted(plan.by_class.items()):
        pictures = [
            (picture(data.thumbnails.get(sample_id), sample_id), class_words(samples[sample_id], names))
            for sample_id in sample_ids
        ]
        shown = tiles(pictures) if pictures else paragraphs("All are in the test split." if counts.totals[label] else "None.")
        blocks.append(
            Markup('<div><h3 style="{}">{} <span style="font-weight:400;color:var(--faint)">{}</span></h3>{}</div>').format(
                _HEADING, names[label], count_of(counts.totals[label], "image"), shown
            )
        )
    return Section(
        "What the classes look like",
        Markup('<div style="{}">{}</div>').format(TILE_GRID, Markup("").join(blocks)),
        f"{legend(data.examples.channels)} Below each image: all its classes. Images with few other classes are shown first, "
        "and none of the test split.",
    )
