"""The competition's layout: `train.csv`, and `<Id>_<filter>.png` in the folders `train` and `test`."""

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from components.ingest.sources.source import Listed
from components.shared.labels import FILTERS

LABELS = "train.csv"
TRAIN, TEST = "train", "test"

_log = logging.getLogger(__name__)


def parse_image_name(name: str) -> tuple[str, str] | None:
    """The sample's id and the filter that an image's file name gives; None of another file."""
    stem, _, suffix = name.rpartition(".")
    sample_id, _, filter_name = stem.rpartition("_")
    if suffix != "png" or filter_name not in FILTERS or not sample_id:
        return None
    return sample_id, sys.intern(filter_name)  # one text for all, where an archive has a hundred thousand images


def by_sample(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """File names by sample and filter, of all that are images'."""
    files: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        if parsed := parse_image_name(name):
            sample_id, filter_name = parsed
            files[sample_id][filter_name] = name
    return dict(files)


def join_labels(
    rows: Sequence[Listed], present: Mapping[str, object], unlabelled: Iterable[str], where: str
) -> tuple[list[Listed], int]:
    """Brings the rows of train.csv together with the samples that have images. Those without a row are left out, which is said.

    Args:
        rows: The rows of train.csv.
        present: The samples that have labelled images.
        unlabelled: The samples of the test set that are asked for.
        where: What errors call the place of the images.

    Returns:
        The samples that have an image or a reason, and how many rows have neither.

    Raises:
        ValueError: If no row has an image, or an unlabelled sample has a row.
    """
    listed = [row for row in rows if row.reason or row.sample_id in present]
    if not any(row.sample_id in present for row in rows):
        raise ValueError(
            f"{where}: none of the {len(rows)} samples of {LABELS} has an image here. "
            f"Expected files such as {rows[0].sample_id if rows else '<Id>'}_green.png"
        )
    known = {row.sample_id for row in rows}
    if without_row := sorted(present.keys() - known):
        _log.warning(
            "%s: %d samples have images, but no row in %s: they are left out, such as %s",
            where,
            len(without_row),
            LABELS,
            without_row[0],
        )
    both = sorted(known & (extra := set(unlabelled)))
    if both:
        raise ValueError(f"{where}: {both[0]} is in the test set, and {LABELS} labels it. Take it out of one of the two")
    return listed + [Listed(sample_id, ()) for sample_id in sorted(extra)], len(rows) - len(listed)
