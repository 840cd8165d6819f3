"""The parameters of examples, and the search for existing ones. Imports little, because repeated runs need only this."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from components import storage
from components.artifacts.damage import naming
from components.artifacts.fingerprint import fingerprint
from components.artifacts.index import kind_of
from components.artifacts.labels import parse_channels
from components.artifacts.manifest import Examples, RawImages

# Incremented when the same images and parameters give different records.
FORMAT = 4

# The files that are published with the manifest.
TRANSFORM_GRAPH = "transform_graph"
DATA_REPORT = "data_report.html"
QUARANTINE = "quarantine.csv"

# The pseudo-split of samples whose split is not decided yet. Their shards are in a folder of this name.
UNSPLIT = "unsplit"


@dataclass(frozen=True)
class ConvertSettings:
    """The parameters that determine the examples."""

    image_size_px: int
    channels: str
    split: str
    validation_fraction: float
    test_fraction: float
    split_seed: int
    intensity_range: str = ""
    projection: str = ""

    @property
    def filters(self) -> tuple[str, ...]:
        """The stains that become channels, in order."""
        return parse_channels(self.channels)

    def fingerprint(self, raw: RawImages) -> str:
        """The fingerprint of the examples."""
        # Without empty values, so that the fingerprints of earlier examples stay the same.
        given = {name: value for name, value in vars(self).items() if value != ""}
        return fingerprint("convert", FORMAT, {"raw_images": raw.fingerprint}, given)

    def uri(self, raw: RawImages, data_root: str) -> str:
        """The folder of the examples."""
        return storage.join(data_root, "examples", self.fingerprint(raw))

    def find(self, raw: RawImages, data_root: str) -> Examples | None:
        """The examples, if they are complete and all their shards still exist."""
        found = Examples.find(self.uri(raw, data_root))
        return found if found and not found.missing_shards() else None


def check_bad_share(reasons: Mapping[str, str], num_samples: int, max_bad_fraction: float) -> None:
    """Refuses data with too many bad samples.

    Args:
        reasons: The reason why each bad sample cannot be used, by its id.
        num_samples: The number of samples, including bad ones.
        max_bad_fraction: The share that may be bad. One bad sample is always allowed.

    Raises:
        ValueError: If more are bad, with the most common reasons and a sample of each.
    """
    allowed = max(1, math.floor(max_bad_fraction * num_samples))
    if len(reasons) > allowed:
        raise ValueError(
            f"{len(reasons)} of {num_samples} samples cannot be used, and max_bad_fraction={max_bad_fraction} allows "
            f"{allowed}. The most common reasons: {'; '.join(commonest_reasons(reasons, 3))}"
        )


def commonest_reasons(reasons: Mapping[str, str], num_kinds: int) -> list[str]:
    """The most common reasons, each with its number of samples and the first of them."""
    first = {kind_of(reason): (sample_id, reason) for sample_id, reason in sorted(reasons.items(), reverse=True)}
    counts = Counter(map(kind_of, reasons.values())).most_common(num_kinds)
    return [f"{count} x {first[kind][1]}: {first[kind][0]}{' and others' if count > 1 else ''}" for kind, count in counts]


def quarantine_reasons(examples: Examples) -> dict[str, str]:
    """The reasons in the quarantine of complete examples, by sample id."""
    with naming(examples.file_uri(QUARANTINE), "a table of reasons", f"delete {examples.uri} and run again"):
        text = examples.read_file(QUARANTINE).decode()
        return {row["id"]: row["reason"] for row in csv.DictReader(io.StringIO(text, newline=""))}
