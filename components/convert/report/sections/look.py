"""How all sections of the data report show numbers, stains and splits."""

from collections.abc import Sequence

from markupsafe import Markup

from components.convert.report.data import ReportSample
from components.reports.page import image

SPLIT_COLOURS = {"train": "#334155", "validation": "#0d9488", "test": "#c2660c"}
# The colours of the newest batch and of all others.
NEWEST_COLOUR, EARLIER_COLOUR = "#c2660c", "#94a3b8"


def share(part: int, whole: int) -> str:
    """A share in percent: `12.3 %`, `0.45 %`, `<0.01 %`; or `-` if the whole is 0."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.005:
        return "<0.01 %"
    return f"{percent:.1f} %" if percent >= 1 or not part else f"{percent:.2f} %"


def class_words(sample: ReportSample, class_names: Sequence[str]) -> str:
    """The classes of a sample, as a caption."""
    return ", ".join(class_names[label] for label in sample.labels)


def picture(data: bytes | None, alt: str) -> Markup:
    """A thumbnail, or a placeholder if there is none."""
    if data is None:
        return Markup(
            '<div style="aspect-ratio:1;background:#f5f7fa;color:#64748b;display:flex;align-items:center;'
            'justify-content:center;font-size:.75rem;margin-bottom:.4rem">no picture</div>'
        )
    return image(data, "jpeg", alt)
