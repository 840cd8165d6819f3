"""Near-duplicate images."""

from collections import Counter

from markupsafe import Markup

from components.convert.report.data import ReportData
from components.convert.report.sections.look import class_words, picture, share
from components.convert.report.thumbnails import ThumbnailPlan
from components.reports.page import Section, blocks, paragraphs, table, tiles
from components.runtime.wording import count_of


def duplicates_section(data: ReportData, plan: ThumbnailPlan) -> Section:
    """The number and sizes of near-duplicate groups, and images of the largest."""
    title = "Near-duplicates"
    note = "Images of the same field of cells, taken twice or shifted, have nearly the same pixels. They form a group."
    if not data.groups:
        return Section(title, paragraphs("None were found."), note)
    sizes = Counter(len(group) for group in data.groups)
    rows = [[str(size), number, size * number] for size, number in sorted(sizes.items())]
    content = Markup("{}{}{}").format(
        _torn(data), table(["Images in a group", "groups", "images"], rows), _largest_groups(data, plan)
    )
    return Section(title, content, note)


def _torn(data: ReportData) -> Markup:
    groups = data.groups
    num_torn = sum(len({sample.split for sample in group}) > 1 for group in groups)
    here = {0: "none is divided", 1: "one is divided"}.get(num_torn, f"{num_torn:,} are divided")
    return paragraphs(
        f"A random split would have divided {data.num_torn_groups:,} of the {count_of(len(groups), 'group')} "
        f"({share(data.num_torn_groups, len(groups))}), so the network would have been tested on near-duplicates of training "
        f"images. In this split, {here}."
    )


def _largest_groups(data: ReportData, plan: ThumbnailPlan) -> Markup:
    members = {group[0].sample_id: group for group in data.groups}
    names = data.examples.class_names
    shown = []
    for sample_ids in plan.groups:
        group = members[sample_ids[0]]
        pictures = [(picture(data.thumbnails.get(sample_id), sample_id), sample_id) for sample_id in sample_ids]
        caption = f"{count_of(len(group), 'image')}, {group[0].split}: {class_words(group[0], names)}"
        shown.append((caption, tiles(pictures)))
    return blocks(shown)
