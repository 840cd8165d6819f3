"""Reads the examples that convert publishes: the table of samples, and the images and labels of a split.

The table gives the shard and the offset of each sample's record, so that pixels can be read in place, in any order, without
parsing.
"""

import contextlib
import csv
import gzip
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from components import storage
from components.artifacts.damage import DamagedFileError, naming
from components.artifacts.manifest import SAMPLES, Examples
from components.artifacts.tfrecord import FOOTER_BYTES, HEADER_BYTES, example_parts
from components.storage.local_copy import local_copy

_COLUMNS = ("id", "split", "shard", "offset", "labels")
# A record's offset in its shard, the sample's id, and its labels.
_Record = tuple[int, str, list[int]]


def read_column(examples: Examples, column: str) -> dict[str, str]:
    """A column of the table of samples by sample id, such as `split`, or `group` for near-duplicates.

    Raises:
        ValueError: If the table has no such column.
    """
    return dict(_read_table(examples, "id", column))


def read_widths_um(examples: Examples) -> dict[str, float]:
    """The width of each image in micrometres, by sample id, where it is known: older versions did not store it."""
    with _open_table(examples) as rows:
        header = next(rows, [])
        if "width_um" not in header:
            return {}
        id_and_width = itemgetter(header.index("id"), header.index("width_um"))
        return {sample_id: float(width) for sample_id, width in map(id_and_width, rows) if width}


@contextlib.contextmanager
def open_splits(examples: Examples, splits: Sequence[str]) -> Iterator[dict[str, "ExampleReader"]]:
    """Opens splits for reading, by name, after verifying the checksum of every shard.

    Shards on this machine are read in place. Others are downloaded to a temporary folder (below TMPDIR), which is removed
    at the end.

    Raises:
        FileNotFoundError: If shards are missing or truncated.
        OSError: If a shard is damaged, or the disk is full.
        ValueError: If the table of samples does not match the shards.
    """
    if missing := examples.missing_shards():
        raise FileNotFoundError(
            f"{examples.uri}: {len(missing)} shards are missing or truncated, for example {missing[0]}. Run again"
        )
    rows = list(_read_table(examples, *_COLUMNS))
    shards = [shard for split in splits for shard in examples.shards[split]]
    files = {shard.name: storage.StoredFile(shard.num_bytes, shard.crc32c) for shard in shards}
    with contextlib.ExitStack() as opened:
        with examples.naming_deleted():
            folder = opened.enter_context(local_copy(examples.uri, files))
        yield {split: ExampleReader(examples, split, Path(folder), rows) for split in splits}


class ExampleReader:
    """The examples of one split by number, in the order of the shards. Files are memory-mapped.

    Attributes:
        ids: The sample ids.
        labels: bool, shape (examples, classes).
        channels: The names of the channels, in order.
        shape: Height, width and channels of each image.
    """

    def __init__(self, examples: Examples, split: str, folder: Path, rows: Iterable[tuple[str, ...]]) -> None:
        """Maps the shards of a split and finds the pixels of each example.

        Args:
            examples: The manifest.
            split: `train`, `validation` or `test`.
            folder: The local folder of the shards.
            rows: The table of samples: id, split, shard, offset and labels of each.

        Raises:
            ValueError: If the table does not match the shards.
        """
        self.channels = tuple(examples.channels)
        self.shape = (examples.image_size_px, examples.image_size_px, len(examples.channels))
        self.ids: list[str] = []
        self._places: list[tuple[np.ndarray, int]] = []
        in_shard: dict[str, list[_Record]] = {shard.name: [] for shard in examples.shards[split]}
        for sample_id, its_split, shard_name, offset, target in rows:
            if its_split == split:
                record = int(offset), sample_id, [int(label) for label in target.split()]
                in_shard.setdefault(shard_name, []).append(record)
        labels: list[list[int]] = []
        for name, records in in_shard.items():
            records.sort()
            try:
                file = _map(folder / name)
                self._places += [(file, start) for start in _pixel_starts(file, records, self.shape)]
            except (ValueError, FileNotFoundError) as error:
                raise ValueError(
                    f"{storage.join(examples.uri, name)} does not match the table in {examples.file_uri(SAMPLES)}: {error}. "
                    f"Delete {examples.uri} and run again"
                ) from None
            self.ids += [sample_id for _, sample_id, _ in records]
            labels += [classes for *_, classes in records]
        self.labels = np.zeros((len(labels), len(examples.class_names)), bool)
        for multi_hot, classes in zip(self.labels, labels, strict=True):
            multi_hot[classes] = True

    def __len__(self) -> int:
        return len(self.ids)

    def pixels(self, number: int) -> np.ndarray:
        """A read-only view of an example's image in its file: uint8, shape (height, width, channels)."""
        file, start = self._places[number]
        return np.ndarray(self.shape, np.uint8, file, start)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All images in order: uint8, shape (size, height, width, channels); the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield np.stack([self.pixels(number) for number in range(start, min(start + size, len(self)))])


def _read_table(examples: Examples, *columns: str) -> Iterator[Any]:
    """Yields rows as tuples of these columns."""
    # Streamed, and only these columns, because a large table takes much memory.
    with _open_table(examples) as rows:
        header = next(rows, [])
        if not set(columns) <= set(header):
            raise DamagedFileError(
                f"{examples.file_uri(SAMPLES)}: expected the columns {', '.join(columns)}. Received: {', '.join(header)}. "
                f"These examples are of an older version: delete {examples.uri} and run again"
            )
        yield from map(itemgetter(*map(header.index, columns)), rows)


@contextlib.contextmanager
def _open_table(examples: Examples) -> Iterator[Iterator[list[str]]]:
    """Yields the rows, of which the first has the names of the columns."""
    content = examples.read_file(SAMPLES)
    with (
        naming(examples.file_uri(SAMPLES), "a table of samples", f"delete {examples.uri} and run again"),
        gzip.open(io.BytesIO(content), "rt", encoding="utf-8", newline="") as text,
    ):
        yield csv.reader(text)


def _map(path: Path) -> np.ndarray:
    if not path.stat().st_size:  # empty files cannot be mapped
        return np.zeros(0, np.uint8)
    # As a plain array: a view of it takes a tenth of the time of a view of a memmap.
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _pixel_starts(file: np.ndarray, records: Iterable[_Record], shape: tuple[int, int, int]) -> Iterator[int]:
    """The offset of the pixels of each record in a file.

    Raises:
        ValueError: If the file does not consist of exactly these records.
    """
    position = 0
    for offset, sample_id, labels in records:
        before, after = example_parts(sample_id, shape, labels)
        start = offset + HEADER_BYTES + len(before)
        end = start + math.prod(shape)
        found = file[offset + HEADER_BYTES : start].tobytes(), file[end : end + len(after)].tobytes()
        if offset != position or found != (before, after):
            size = " x ".join(map(str, shape))
            raise ValueError(f"expected the record of {sample_id} at byte {offset}, with labels {labels} and {size} pixels")
        yield start
        position = end + len(after) + FOOTER_BYTES
    if position != len(file):
        raise ValueError(f"expected {position} bytes. Received: {len(file)}")
