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
    """Joins the rows of the table with the samples that have images. Samples without a row are left out, with a warning.

    Args:
        rows: The rows of the table of labels.
        table_name: The name of the table in errors.
        present: The samples that have labelled images.
        unlabelled: The requested samples of the test set.
        where: The place of the images in errors.
        image_names: How the images are named.

    Returns:
        The samples that have an image or a reason, and the number of rows that have neither.

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
            "%s: left out %s with images but without a row in %s, such as %s%s",
            where,
            count_of(len(without_row), "sample"),
            table_name,
            without_row[0],
            _problem(without_row),
        )
    if all(row.reason for row in listed):
        first = f"{listed[0].sample_id}: {listed[0].reason}"
        raise ValueError(f"{where}: no row of {table_name} can be used. The first problem: {first}")
    both = sorted(known & (extra := set(unlabelled)))
    if both:
        raise ValueError(f"{where}: {both[0]} is in the test set, but also in {table_name}. Remove it from one of the two")
    return listed + [Listed(sample_id, ()) for sample_id in sorted(extra)], len(rows) - len(listed)


def _problem(sample_ids: Iterable[str]) -> str:
    """Explains the first invalid id, because its flaw may be invisible."""
    problems = {sample_id: problem for sample_id in sample_ids if (problem := id_problem(sample_id))}
    first = min(problems, default="")
    return f". The id {first!r} {problems[first]}" if problems else ""
