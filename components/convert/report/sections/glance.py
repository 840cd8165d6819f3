"""The most important points, in a few sentences."""

from components.artifacts.parameters import AUTO_RANGE
from components.convert.report.data import ReportData
from components.convert.report.sections.classes import ClassCounts
from components.convert.report.sections.drift import Drift
from components.convert.report.sections.look import share
from components.convert.split.near_duplicates import torn_groups
from components.images.pixel_size import differs_in_size
from components.reports.page import Section, bullets
from components.runtime.wording import count_of, first_of

_NUM_NAMED = 5


def glance_section(data: ReportData, counts: ClassCounts, drift: Drift | None) -> Section:
    """Sums up the page."""
    lines = [
        _rare_classes(counts),
        _absent_classes(counts),
        _duplicates(data),
        _table_groups(data),
        _left_out(data),
        _exposure(data),
        _intensity_range(data),
        _pixel_sizes(data),
    ]
    if drift:
        lines.append(drift.summary())
    return Section("At a glance", bullets(*filter(None, lines)))


def _rare_classes(counts: ClassCounts) -> str:
    rarest = sorted((total, name) for name, total in zip(counts.class_names, counts.totals, strict=True) if total)
    if not rarest:
        return ""
    named = ", ".join(f"{name} ({total:,})" for total, name in rarest[:_NUM_NAMED])
    most, commonest = rarest[-1]
    return f"The rarest classes: {named}. The most common: {commonest} ({most:,} images)."


def _absent_classes(counts: ClassCounts) -> str:
    nowhere = [name for name, total in zip(counts.class_names, counts.totals, strict=True) if not total]
    absent = [f"no image of {first_of(nowhere, _NUM_NAMED)}"] if nowhere else []
    for split in counts.splits:
        found = zip(counts.class_names, counts.by_split[split], counts.totals, strict=True)
        lacking = [name for name, number, total in found if total and not number]
        if lacking:
            absent.append(f"no {split} image of {first_of(lacking, _NUM_NAMED)}")
    if not absent:
        return f"All {len(counts.class_names)} classes are in every split."
    return f"Not every class is in every split: {'; '.join(absent)}."


def _duplicates(data: ReportData) -> str:
    if not data.groups:
        return "There are no near-duplicates."
    members = sum(len(group) for group in data.groups)
    return (
        f"{members:,} images ({share(members, len(data.samples))}) are near-duplicates of others, in "
        f"{count_of(len(data.groups), 'group')}; a random split would have divided {data.num_torn_groups:,} of them."
    )


def _table_groups(data: ReportData) -> str:
    if not data.table_groups:
        return ""
    split_of = {sample.sample_id: sample.split for sample in data.samples}
    num_torn = len(torn_groups(data.table_groups, split_of))
    torn = f"of which {num_torn:,} span several splits: a later batch linked them" if num_torn else "each within one split"
    num_groups = len(set(data.table_groups.values()))
    return f"{len(data.table_groups):,} images are in {count_of(num_groups, 'group')} of the table (group_column), {torn}."


def _exposure(data: ReportData) -> str:
    if not data.exposure:
        return ""
    num = len({sample_id for warning in data.exposure for sample_id in warning.sample_ids})
    return f"{count_of(num, 'image')} ({share(num, len(data.samples))}) may be badly exposed or scaled: see Brightness below."


def _intensity_range(data: ReportData) -> str:
    written = data.examples.intensity_range
    if not written:
        return ""
    measured = " as measured in the training split" if data.examples.parameters["intensity_range"] == AUTO_RANGE else ""
    return f"Grey levels that are black and white ({', '.join(data.examples.channels)}): {written}{measured}."


def _pixel_sizes(data: ReportData) -> str:
    median = data.examples.pixel_size_um
    if not median:
        return ""
    others = sorted(sample_id for sample_id, size in data.pixel_sizes_um.items() if differs_in_size(size, median))
    line = f"Pixel size: {median:.3g} µm, the median of {count_of(len(data.pixel_sizes_um), 'file')} with a pixel size."
    if others:
        named = first_of(others, _NUM_NAMED)
        line += f" In {count_of(len(others), 'image')} it is more than 10 % larger or smaller: {named}."
    return line


def _left_out(data: ReportData) -> str:
    num_bad = len(data.quarantine)
    if not num_bad:
        return "No sample was left out."
    return f"{count_of(num_bad, 'sample')} left out ({share(num_bad, num_bad + len(data.samples))}): see the reasons below."
