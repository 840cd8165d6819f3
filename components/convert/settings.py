"""What examples are asked for, and whether they exist already: all that a repeated run needs, so it imports little."""

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

# Raised when the same images and parameters give other records.
FORMAT = 4

# The files that are published with the manifest.
TRANSFORM_GRAPH = "transform_graph"
DATA_REPORT = "data_report.html"
QUARANTINE = "quarantine.csv"

# The split of samples whose side is not decided yet. Their shards lie in a folder of this name.
UNSPLIT = "unsplit"


@dataclass(frozen=True)
class ConvertSettings:
    """What the examples should be like."""

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
        """Names the examples by their content."""
        # Without empty values, so that the fingerprints of earlier examples stay the same.
        given = {name: value for name, value in vars(self).items() if value != ""}
        return fingerprint("convert", FORMAT, {"raw_images": raw.fingerprint}, given)

    def uri(self, raw: RawImages, data_root: str) -> str:
        """The folder of the examples."""
        return storage.join(data_root, "examples", self.fingerprint(raw))

    def find(self, raw: RawImages, data_root: str) -> Examples | None:
        """The complete examples, if there are any: with all their shards, which somebody may have deleted."""
        found = Examples.find(self.uri(raw, data_root))
        return found if found and not found.missing_shards() else None


def check_bad_share(reasons: Mapping[str, str], num_samples: int, max_bad_fraction: float) -> None:
    """Stops a run whose data is worse than was agreed.

    Args:
        reasons: Why each of the bad samples cannot be used, by its id.
        num_samples: How many samples there are, with the bad ones.
        max_bad_fraction: The share that may be bad. One sample always may.

    Raises:
        ValueError: If more are, with the commonest reasons and a sample of each.
    """
    allowed = max(1, math.floor(max_bad_fraction * num_samples))
    if len(reasons) > allowed:
        raise ValueError(
            f"{len(reasons)} of {num_samples} samples cannot be used, and max_bad_fraction={max_bad_fraction} allows "
            f"{allowed}. The commonest reasons: {'; '.join(commonest_reasons(reasons, 3))}"
        )


def commonest_reasons(reasons: Mapping[str, str], num_kinds: int) -> list[str]:
    """The reasons that most samples are bad for, each with their number and the first of these samples."""
    first = {kind_of(reason): (sample_id, reason) for sample_id, reason in sorted(reasons.items(), reverse=True)}
    counts = Counter(map(kind_of, reasons.values())).most_common(num_kinds)
    return [f"{count} x {first[kind][1]}: {first[kind][0]}{' and others' if count > 1 else ''}" for kind, count in counts]


def quarantine_reasons(examples: Examples) -> dict[str, str]:
    """The reasons in the quarantine of complete examples, by sample id."""
    with naming(examples.file_uri(QUARANTINE), "a table of reasons", f"delete {examples.uri} and run again"):
        text = examples.read_file(QUARANTINE).decode()
        return {row["id"]: row["reason"] for row in csv.DictReader(io.StringIO(text, newline=""))}
