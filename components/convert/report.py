"""The data report: what was converted, how it was split, what it looks like, and what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from markupsafe import Markup

from components.convert.beam_job import ConvertedSample
from components.convert.split import SPLITS
from components.shared.labels import NUM_PUBLISHED_SAMPLES, PUBLISHED_COUNTS
from components.shared.manifest import Examples
from components.shared.page import Section, image, render_page, table, tiles
from components.shared.records import read_split

_MAX_TILES = 24
_TILE_PX = 150


def data_report(examples: Examples, converted: Sequence[ConvertedSample], quarantine: Mapping[str, str]) -> str:
    """Writes the page.

    Args:
        examples: The manifest of what was converted.
        converted: Every sample that convert saw.
        quarantine: The reason of each sample that was left out.
    """
    good = [sample for sample in converted if not sample.reason]
    counts = Counter(sample.split for sample in good)
    sides = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    channels = ", ".join(examples.channels)
    subtitle = f"{len(good)} samples from {examples.source} ({sides}); {examples.image_size_px} px; channels {channels}."
    return render_page(
        "Data report",
        subtitle,
        [
            Section("Samples", _contact_sheet(examples), "Red microtubules, green the protein, blue the nucleus."),
            Section("Classes", _class_table(examples, good), _published_note(examples)),
            Section("Labels per sample", _labels_per_sample(good)),
            Section("Left out", _quarantine_table(quarantine), f"{len(quarantine)} samples could not be used."),
            Section("Licence", Markup("<p>{}</p>").format(examples.licence)),
        ],
    )


def _class_table(examples: Examples, good: Sequence[ConvertedSample]) -> Markup:
    by_side = {split: Counter(label for s in good if s.split == split for label in s.labels) for split in SPLITS}
    published = examples.class_names == list(PUBLISHED_COUNTS)
    rows: list[list[object]] = []
    for label, name in enumerate(examples.class_names):
        total = sum(counts[label] for counts in by_side.values())
        row: list[object] = [name, *(by_side[split][label] for split in SPLITS), f"{100 * total / max(1, len(good)):.1f} %"]
        if published:
            row.append(f"{100 * PUBLISHED_COUNTS[name] / NUM_PUBLISHED_SAMPLES:.1f} %")
        rows.append(row)
    return table(["Class", *SPLITS, "share", *(["published share"] if published else [])], rows)


def _published_note(examples: Examples) -> str:
    if examples.class_names != list(PUBLISHED_COUNTS):
        return ""
    return f"The published share is that of the competition's {NUM_PUBLISHED_SAMPLES} training samples."


def _labels_per_sample(good: Sequence[ConvertedSample]) -> Markup:
    counts = Counter(len(sample.labels) for sample in good)
    return table(["Labels", "samples", "share"], [[n, c, f"{100 * c / len(good):.1f} %"] for n, c in sorted(counts.items())])


def _quarantine_table(quarantine: Mapping[str, str]) -> Markup:
    if not quarantine:
        return Markup("<p>None.</p>")
    return table(["Sample", "reason"], sorted(quarantine.items())[:200])


def _contact_sheet(examples: Examples) -> Markup:
    """The first training examples, as the records hold them."""
    shown = read_split(examples, "train").take(_MAX_TILES)
    return tiles([_tile(parsed, examples.class_names) for parsed in shown.as_numpy_iterator()])


def _tile(parsed: Mapping[str, np.ndarray], class_names: Sequence[str]) -> tuple[Markup, str]:
    pixels = cv2.resize(parsed["pixels"][:, :, :3], (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    names = ", ".join(class_names[int(label)] for label in np.flatnonzero(parsed["labels"]))
    return image(data.tobytes(), "jpeg", names), names
