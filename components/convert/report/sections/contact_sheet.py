"""Images of each class."""

from markupsafe import Markup

from components.convert.report.data import ReportData
from components.convert.report.sections.classes import ClassCounts
from components.convert.report.sections.look import class_words, picture
from components.convert.report.thumbnails import ThumbnailPlan
from components.reports.page import Section, blocks, paragraphs, tiles
from components.reports.stains import legend
from components.runtime.wording import count_of


def contact_sheet_section(data: ReportData, counts: ClassCounts, plan: ThumbnailPlan) -> Section:
    """A few samples of each class, in the order of the classes."""
    samples = {sample.sample_id: sample for sample in data.samples}
    names = data.examples.class_names
    shown = []
    nowhere: list[str] = []
    in_test: list[str] = []
    for label, sample_ids in sorted(plan.by_class.items()):
        if not sample_ids:
            (in_test if counts.totals[label] else nowhere).append(names[label])
            continue
        pictures = [
            (picture(data.thumbnails.get(sample_id), sample_id), class_words(samples[sample_id], names))
            for sample_id in sample_ids
        ]
        heading = Markup('{} <span class="faint">{}</span>').format(names[label], count_of(counts.totals[label], "image"))
        shown.append((heading, tiles(pictures)))
    missing = [f"{words}: {', '.join(of)}." for words, of in (("No image", nowhere), ("Only in the test split", in_test)) if of]
    return Section(
        "What the classes look like",
        blocks(shown) + paragraphs(*missing),
        f"{legend(data.examples.channels)} Below each image: all of its classes. Images with few other classes are preferred. "
        "None are from the test split.",
    )
