"""Samples that could not be used."""

from collections import Counter

from markupsafe import Markup

from components.artifacts.index import kind_of
from components.convert.report.data import ReportData
from components.convert.report.sections.look import picture, share
from components.convert.report.thumbnails import ThumbnailPlan
from components.reports.page import Section, folded, paragraphs, table, tiles
from components.runtime.wording import count_of

_MAX_REASONS = 20
_MAX_ROWS = 200


def left_out_section(data: ReportData, plan: ThumbnailPlan) -> Section:
    """The reasons, images of the samples, and their ids."""
    num_bad = len(data.quarantine)
    title = "Left out"
    if not num_bad:
        return Section(title, paragraphs("None: every sample could be used."))
    reasons = Counter(map(kind_of, data.quarantine.values())).most_common(_MAX_REASONS)
    pictures = [(picture(data.thumbnails.get(i), i), f"{i}: {data.quarantine[i]}") for i in plan.quarantined]
    listed = sorted(data.quarantine.items())[:_MAX_ROWS]
    more = paragraphs(f"And {num_bad - _MAX_ROWS:,} more, in quarantine.csv.") if num_bad > _MAX_ROWS else Markup("")
    everyone = folded("All samples that were left out", table(["Sample", "reason"], listed) + more)
    content = Markup("{}{}{}").format(table(["Reason", "samples"], reasons), tiles(pictures), everyone)
    return Section(
        title,
        content,
        f"{count_of(num_bad, 'sample')} of {num_bad + len(data.samples):,} ({share(num_bad, num_bad + len(data.samples))}) "
        "could not be used. A filter that cannot be read is shown as black.",
    )
