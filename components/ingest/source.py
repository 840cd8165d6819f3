"""What ingest asks of a source of images, whatever its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Listed:
    """A sample as the source lists it, before its images are read. `reason` says why it cannot be used; empty if it can."""

    sample_id: str
    labels: tuple[int, ...]
    reason: str = ""


class Source(Protocol):
    """A set of samples. Instances are sent to worker processes, so they hold no open file and no lock."""

    @property
    def name(self) -> str:
        """The folder's name under `raw/`."""

    @property
    def licence(self) -> str:
        """Licence and credit of the images, as lineage shows them."""

    @property
    def num_without_files(self) -> int:
        """How many samples the source names without having any image of them. They are left out."""

    @property
    def is_constant(self) -> bool:
        """Whether an image, once stored, need never be read from the source again."""

    def validator(self) -> str:
        """What is the same as long as the content is the same, and costs little to compute."""

    def listed(self) -> Sequence[Listed]:
        """Every sample that has an image or a reason."""

    def read(self, sample_id: str) -> Mapping[str, bytes]:
        """The PNG file of each filter that the sample has."""
