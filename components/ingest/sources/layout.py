"""The competition's layout: `train.csv`, and images beside it or in the folders `train` and `test`."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from components.artifacts.image_names import ImageNames
from components.ingest.sources.labels_csv import LABELS, PLAIN_ID
from components.ingest.sources.source import Listed
from components.runtime.wording import count_of

_log = logging.getLogger(__name__)


def join_labels(
    rows: Sequence[Listed], present: Mapping[str, object], unlabelled: Iterable[str], where: str, image_names: ImageNames
) -> tuple[list[Listed], int]:
    """Brings the rows of train.csv together with the samples that have images. Those without a row are left out, which is said.

    Args:
        rows: The rows of train.csv.
        present: The samples that have labelled images.
        unlabelled: The samples of the test set that are asked for.
        where: What errors call the place of the images.
        image_names: How these are named.

    Returns:
        The samples that have an image or a reason, and how many rows have neither.

    Raises:
        ValueError: If no row has an image, or none can be used, or an unlabelled sample has a row.
    """
    listed = [row for row in rows if row.reason or row.sample_id in present]
    if not any(row.sample_id in present for row in rows):
        found = (
            f" Received: images of {count_of(len(present), 'other')}, such as {min(present)}{_why_not_plain(present)}"
            if present
            else ""
        )
        raise ValueError(
            f"{where}: none of the {len(rows)} samples of {LABELS} has an image here. "
            f"Expected files such as {image_names.example(rows[0].sample_id)}.{found}"
        )
    known = {row.sample_id for row in rows}
    if without_row := sorted(present.keys() - known):
        _log.warning(
            "%s: %s with images, but without a row in %s, left out: such as %s%s",
            where,
            count_of(len(without_row), "sample"),
            LABELS,
            without_row[0],
            _why_not_plain(without_row),
        )
    if all(row.reason for row in listed):
        raise ValueError(f"{where}: not one row of {LABELS} can be used. The first: {listed[0].sample_id}: {listed[0].reason}")
    both = sorted(known & (extra := set(unlabelled)))
    if both:
        raise ValueError(f"{where}: {both[0]} is in the test set, and {LABELS} labels it. Take it out of one of the two")
    return listed + [Listed(sample_id, ()) for sample_id in sorted(extra)], len(rows) - len(listed)


def _why_not_plain(sample_ids: Iterable[str]) -> str:
    """Says of ids that no row can have what an id may be: a letter with an accent may look the same and be another."""
    strange = min((sample_id for sample_id in sample_ids if not sample_id.isascii()), default="")
    return f". Rename files such as {strange}: an Id has {PLAIN_ID}" if strange else ""
