"""Which samples are near-duplicates of each other, as convert found."""

from collections.abc import Sequence

import numpy as np

from components.artifacts.manifest import Examples
from components.artifacts.samples import read_column


def read_groups(examples: Examples) -> dict[str, str]:
    """The near-duplicate group of each sample id: see `read_column`."""
    return read_column(examples, "group")


def number_groups(ids: Sequence[str], groups: dict[str, str]) -> np.ndarray:
    """The groups of some samples as numbers from 0 on without gaps: shape (samples,).

    Raises:
        ValueError: If a sample has no group.
    """
    if missing := [sample_id for sample_id in ids if sample_id not in groups]:
        raise ValueError(f"{len(missing)} samples are in no near-duplicate group, such as {missing[0]}: expected all of them")
    return np.unique([groups[sample_id] for sample_id in ids], return_inverse=True)[1]
