"""The competition's layout: a table of labels, and images beside it or in the folders `train` and `test`."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from components.artifacts.image_names import ImageNames
from components.artifacts.sample_ids import id_problem
from components.ingest.sources.source import Listed
from components.runtime.wording import count_of

_log = logging.getLogger(__name__)


def join_labels(
    rows: Sequence[Listed],
    table_name: str,
    present: Mapping[str, object],
    unlabelled: Iterable[str],
    where: str,
    image_names: ImageNames,
) -> tuple[list[Listed], int]:
    """Brings the rows of the table together with the samples that have images. Those without a row are left out, which is said.

    Args:
        rows: The rows of the table of labels.
        table_name: What errors call it.
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
            f" Received: images of {count_of(len(present), 'other')}, such as {min(present)}{_problem(present)}"
            if present
            else ""
        )
        raise ValueError(
            f"{where}: none of the {len(rows)} samples of {table_name} has an image here. "
            f"Expected files such as {image_names.example(rows[0].sample_id)}.{found}"
        )
    known = {row.sample_id for row in rows}
    if without_row := sorted(present.keys() - known):
        _log.warning(
            "%s: %s with images, but without a row in %s, left out: such as %s%s",
            where,
            count_of(len(without_row), "sample"),
            table_name,
            without_row[0],
            _problem(without_row),
        )
    if all(row.reason for row in listed):
        first = f"{listed[0].sample_id}: {listed[0].reason}"
        raise ValueError(f"{where}: not one row of {table_name} can be used. The first: {first}")
    both = sorted(known & (extra := set(unlabelled)))
    if both:
        raise ValueError(f"{where}: {both[0]} is in the test set, and {table_name} labels it. Take it out of one of the two")
    return listed + [Listed(sample_id, ()) for sample_id in sorted(extra)], len(rows) - len(listed)


def _problem(sample_ids: Iterable[str]) -> str:
    """Says of ids that no row can have why: what is wrong with them may be invisible."""
    problems = {sample_id: problem for sample_id in sample_ids if (problem := id_problem(sample_id))}
    first = min(problems, default="")
    return f". The id {first!r} {problems[first]}" if problems else ""
