"""Which samples are near-duplicates of each other, as convert found."""

import csv
import gzip
import io
from collections.abc import Sequence

import numpy as np

from components.shared import storage
from components.shared.manifest import SAMPLES, Examples


def read_groups(examples: Examples) -> dict[str, str]:
    """The near-duplicate group of each sample id.

    Args:
        examples: The manifest as it was published: where examples are staged, there is no table of samples.

    Raises:
        ValueError: If the table of samples does not say.
    """
    uri = examples.file_uri(SAMPLES)
    rows = csv.DictReader(io.StringIO(gzip.decompress(storage.read_bytes(uri)).decode(), newline=""))
    if not {"id", "group"} <= set(rows.fieldnames or ()):
        raise ValueError(
            f"{uri}: expected the columns id and group. Received: {rows.fieldnames}. These examples are of an older version: "
            f"delete {examples.uri} and run again"
        )
    return {row["id"]: row["group"] for row in rows}


def number_groups(ids: Sequence[str], groups: dict[str, str]) -> np.ndarray:
    """The groups of some samples as numbers from 0 on without gaps: shape (samples,).

    Raises:
        ValueError: If a sample has no group.
    """
    if missing := [sample_id for sample_id in ids if sample_id not in groups]:
        raise ValueError(f"{len(missing)} samples are in no near-duplicate group, such as {missing[0]}: expected all of them")
    return np.unique([groups[sample_id] for sample_id in ids], return_inverse=True)[1]
