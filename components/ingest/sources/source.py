"""The interface of a source of images."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from components.artifacts.image_names import by_filter
from components.artifacts.sample_ids import stored_name
from components.storage.store import StoredFile

_CHUNK_BYTES = 8 << 20
_CHUNK_IMAGES = 64


@dataclass(frozen=True, slots=True)
class Listed:
    """A sample as the source lists it, before its images are read.

    Attributes:
        sample_id: The id of the sample in the source.
        labels: Sorted class indices.
        reason: Why it cannot be used; empty if it can.
        group: Samples of the same group stay in one split; empty for none.
        columns: Its other values in the source's table, by column.
    """

    sample_id: str
    labels: tuple[int, ...]
    reason: str = ""
    group: str = ""
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image as the source lists it, before it is read.

    Attributes:
        sample_id: The sample.
        filter: The filter, or ALL_CHANNELS.
        content: The size and the checksums that the source gives; None if it gives none.
        suffix: The suffix of the file name.
    """

    sample_id: str
    filter: str
    content: StoredFile | None
    suffix: str = ".png"

    @property
    def stem(self) -> str:
        """The image's name under `raw/`, up to the suffix."""
        return f"{stored_name(self.sample_id)}{f'_{stored_name(self.filter)}' if self.filter else ''}"

    @property
    def plain_name(self) -> str:
        """The image's name under `raw/`, unless other content has taken it."""
        return f"{self.stem}{self.suffix}"


class Source(Protocol):
    """A set of samples. Several threads may read it; one that `is_synthetic` is also sent to other processes."""

    @property
    def name(self) -> str:
        """The folder's name under `raw/`."""

    @property
    def licence(self) -> str:
        """Licence and credit of the images, as lineage shows them."""

    @property
    def num_without_files(self) -> int:
        """The number of listed samples without any image. They are left out."""

    @property
    def num_unlabelled(self) -> int:
        """The number of samples without labels: the test set. They are ingested only on request."""

    @property
    def stains(self) -> tuple[str, ...]:
        """The stains that a sample may have, in order."""

    @property
    def channels(self) -> dict[str, str]:
        """The channel of each filter if a file holds all channels; empty if each filter has its own file."""

    @property
    def is_synthetic(self) -> bool:
        """Whether images are computed: reading them keeps a core busy, and stored ones never change."""

    def validator(self) -> str:
        """An identifier that changes with the content and is cheap to compute."""

    def listed(self) -> Sequence[Listed]:
        """Every sample that has an image or a reason. One without labels and without a reason is unlabelled."""

    def chunks(self) -> Iterable[Sequence[SourceImage]]:
        """The images of all samples that have no reason, in chunks that are best read together."""

    def path(self, image: SourceImage) -> str:
        """The path of an image in the source."""

    def read(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Reads images of one chunk, in any order."""


def images_by_sample(source: Source) -> dict[str, list[SourceImage]]:
    """All images of a source by sample, without samples that have none."""
    images: dict[str, list[SourceImage]] = defaultdict(list)
    for image in (image for chunk in source.chunks() for image in chunk):
        images[image.sample_id].append(image)
    return images


def read_sample(source: Source, images: Sequence[SourceImage]) -> dict[str, bytes]:
    """Reads the images of one sample: the file of each filter, the same for all if one file holds all channels."""
    return by_filter({image.filter: data for image, data in source.read(images)}, source.channels)


def cut(images: Iterable[SourceImage]) -> Iterator[list[SourceImage]]:
    """Groups images into chunks of a few megabytes."""
    chunk: list[SourceImage] = []
    num_bytes = 0
    for image in images:
        chunk.append(image)
        num_bytes += image.content.num_bytes if image.content else 0
        if num_bytes >= _CHUNK_BYTES or len(chunk) >= _CHUNK_IMAGES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk
