"""What examples are asked for, and whether they exist already: all that a repeated run needs, so it imports little."""

from dataclasses import dataclass

from components.shared import storage
from components.shared.fingerprint import fingerprint
from components.shared.labels import FILTERS
from components.shared.manifest import Examples, RawImages

# Raised when the same images and parameters give other records.
FORMAT = 1

# The files that are published with the manifest.
TRANSFORM_GRAPH = "transform_graph"
DATA_REPORT = "data_report.html"
QUARANTINE = "quarantine.csv"
SAMPLES = "samples.csv.gz"


@dataclass(frozen=True)
class Request:
    """What the examples shall be like."""

    image_size_px: int
    channels: str
    split: str
    validation_fraction: float
    test_fraction: float
    seed: int

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that become channels, in order."""
        return FILTERS[: len(self.channels)]

    def fingerprint(self, raw: RawImages) -> str:
        """Names the examples by their content."""
        return fingerprint("convert", FORMAT, {"raw_images": raw.fingerprint}, vars(self))

    def uri(self, raw: RawImages, data_root: str) -> str:
        """The folder of the examples."""
        return storage.join(data_root, "examples", self.fingerprint(raw))

    def find(self, raw: RawImages, data_root: str) -> Examples | None:
        """The complete examples, if there are any."""
        return Examples.find(self.uri(raw, data_root))
