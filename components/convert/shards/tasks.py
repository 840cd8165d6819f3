"""The unit of work of a Beam job: a shard, its input, and its description when it is finished."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass

from components import storage
from components.artifacts.damage import parse_json
from components.artifacts.index import ImageFile, Sample, size_bytes
from components.artifacts.manifest import Shard
from components.artifacts.parameters import Levels
from components.convert.settings import UNSPLIT
from components.convert.split.assignment import SPLITS
from components.images.decode import DEFAULT_READING, Reading
from components.images.intensity import NUM_BINS, bin_histograms

# The limit of a shard: large enough for fast reading, small enough that a kill loses little work.
SHARD_BYTES = 64 << 20
MAX_SHARD_SAMPLES = 256
# The split of samples that are only measured, for `intensity_range=auto`.
MEASURED = "measured"
# Of the stored histograms of each sample.
_COUNT = np.dtype("<u4")

_AS_TEXT = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: its samples, the folder of their images, and the form of the result."""

    name: str
    split: str
    samples: tuple[Sample, ...]
    filters: tuple[str, ...]
    image_size_px: int
    images_uri: str
    examples_uri: str
    reading: Reading = DEFAULT_READING

    @property
    def source_uri(self) -> str:
        """The folder that it is read from."""
        return self.images_uri

    @property
    def folder_uri(self) -> str:
        """The folder of the shard."""
        return storage.join(self.examples_uri, UNSPLIT) if self.split == UNSPLIT else self.examples_uri

    @property
    def uri(self) -> str:
        """The URI of the shard."""
        return storage.join(self.folder_uri, self.name)

    @property
    def part_uri(self) -> str:
        """The file that describes the finished shard."""
        return part_uri(self.examples_uri, self.name)

    @property
    def num_samples(self) -> int:
        """The number of its input samples. Bad ones have no record."""
        return len(self.samples)

    @property
    def num_bytes(self) -> int:
        """The size of the images to read."""
        return sum(size_bytes(self.files(sample).values()) for sample in self.samples)

    def files(self, sample: Sample) -> dict[str, ImageFile]:
        """The existing images of a sample that become channels."""
        return {name: sample.files[name] for name in self.filters if name in sample.files}


# With slots, because tens of thousands of them are in memory.
@checked_dataclass(frozen=True, slots=True, config=_AS_TEXT)
class ConvertedSample:
    """The result of converting a sample.

    Attributes:
        sample_id: The id of the sample in the source.
        split: Its split, UNSPLIT or MEASURED.
        shard: The shard that its record is in.
        labels: Sorted class indices.
        start: The offset of its record in the shard, in bytes.
        num_bytes: The size of its record.
        mean: The mean of each channel, in grey levels.
        mean_square: The mean of the squares of each channel.
        perceptual_hash: The hash that finds near-duplicates.
        histogram: See `channel_histograms`.
        reason: Why the sample was left out; empty for a good one. A bad sample has none of the other results.
        pixel_size_um: The width of a pixel of its files in micrometres, if they give it.
        width_um: The width of its image in micrometres, if the files give it.
        levels: The grey levels that each channel of a measured sample spans: see `components.images.auto_range`.
    """

    sample_id: str
    split: str
    shard: str
    labels: tuple[int, ...]
    start: int = 0
    num_bytes: int = 0
    mean: tuple[float, ...] = ()
    mean_square: tuple[float, ...] = ()
    perceptual_hash: bytes = b""
    histogram: bytes = b""
    reason: str = ""
    pixel_size_um: float | None = None
    width_um: float | None = None
    levels: tuple[Levels, ...] = ()

    def channel_histograms(self) -> np.ndarray:
        """The counts of grey levels, in bins of four levels: uint32, shape (channels, 64)."""
        return np.frombuffer(self.histogram, _COUNT).reshape(-1, NUM_BINS)


class ShardPart(BaseModel, frozen=True):
    """A finished shard, and the samples that were converted for it. The shard of measured samples is empty."""

    model_config = _AS_TEXT

    shard: Shard
    split: str
    samples: list[ConvertedSample] = []


def pack_histograms(counts: np.ndarray) -> bytes:
    """Packs a sample's histograms for its description. `counts` has the shape (channels, 256)."""
    return bin_histograms(counts).astype(_COUNT).tobytes()


def part_uri(examples_uri: str, shard_name: str) -> str:
    """The file that describes a finished shard."""
    return storage.join(examples_uri, "parts", f"{shard_name}.json")


@contextlib.contextmanager
def unless_finished(part_uri: str) -> Iterator[None]:
    """Ignores a missing file if the shard's description exists: an identical run has then finished and cleaned up."""
    try:
        yield
    except FileNotFoundError:
        if not storage.exists(part_uri):
            raise


def read_part(uri: str) -> ShardPart:
    """Reads the description of a shard.

    Raises:
        ValueError: If the file is damaged.
    """
    return parse_json(ShardPart, storage.read_bytes(uri), uri, "the description of a shard")


def shard_names(split: str, num_shards: int) -> list[str]:
    """The names of a split's shards."""
    return [f"{split}-{number:05d}-of-{num_shards:05d}.tfrecord" for number in range(num_shards)]


def plan_shards(
    samples: Sequence[Sample],
    split_of: Mapping[str, str],
    filters: Sequence[str],
    image_size_px: int,
    images_uri: str,
    examples_uri: str,
    seed: int,
    reading: Reading = DEFAULT_READING,
) -> list[ShardTask]:
    """Distributes the samples of each split over shards of at most 64 MB, in a seeded random order.

    Args:
        samples: The samples to convert.
        split_of: The split of each sample id; UNSPLIT if it is not decided yet, MEASURED to only measure.
        filters: The filters that become channels, in order.
        image_size_px: The side of the square images.
        images_uri: The folder of the images.
        examples_uri: The folder of the examples.
        seed: Another seed gives another order.
        reading: How files become 8-bit channels.
    """
    per_shard = max(1, min(MAX_SHARD_SAMPLES, SHARD_BYTES // (image_size_px**2 * len(filters))))
    shuffled = sorted(samples, key=lambda s: hashlib.sha256(f"shard:{seed}:{s.sample_id}".encode()).digest())
    tasks = []
    for split in (*SPLITS, UNSPLIT, MEASURED):
        members = [sample for sample in shuffled if split_of[sample.sample_id] == split]
        names = shard_names(split, -(-len(members) // per_shard))
        for number, name in enumerate(names):
            dealt = tuple(members[number :: len(names)])
            tasks.append(ShardTask(name, split, dealt, tuple(filters), image_size_px, images_uri, examples_uri, reading))
    return tasks
