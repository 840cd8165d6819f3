"""The examples of one side of the split, read by number: so an epoch can have any order, and start anywhere in it."""

import math
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.artifacts.manifest import Examples
from components.artifacts.record_writer import before_pixels

_LENGTH = struct.Struct("<Q")
_HEADER_BYTES = _LENGTH.size + 4
_FOOTER_BYTES = 4
_BATCH = 256


class RecordFiles:
    """TFRecord files on local disk, mapped into memory: what is not read takes none.

    Attributes:
        shape: Height, width and channels of each image.
        num_classes: How many classes there are.
    """

    def __init__(self, paths: Sequence[str], shape: tuple[int, int, int], num_classes: int) -> None:
        """Finds where each image lies.

        Args:
            paths: Of the files.
            shape: Height, width and channels of all images.
            num_classes: How many classes there are.

        Raises:
            ValueError: If a file does not end where a record does, or an image has another shape.
        """
        self._paths, self.shape, self.num_classes = list(paths), shape, num_classes
        self._places: list[tuple[np.ndarray, int]] = []
        for path in paths:
            if Path(path).stat().st_size:
                # As a plain array: a view of one is made in a tenth of the time.
                file = np.asarray(np.memmap(path, np.uint8, "r"))
                self._places += [(file, start) for start in _pixel_starts(file, path, shape)]

    def __len__(self) -> int:
        return len(self._places)

    def pixels(self, number: int) -> np.ndarray:
        """The image of an example where it lies in its file: uint8, height x width x channels."""
        file, start = self._places[number]
        return np.ndarray(self.shape, np.uint8, file, start)

    @cached_property
    def descriptions(self) -> tuple[list[str], np.ndarray]:
        """The id of each example; and the labels: a bool array of shape (examples, classes).

        Reads all records once, and with them their checksums.
        """
        features = {
            "image/filename": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.RaggedFeature(tf.int64),
        }
        records = tf.data.TFRecordDataset(self._paths).batch(_BATCH).map(lambda batch: tf.io.parse_example(batch, features))
        ids: list[str] = []
        labels: list[list[int]] = []
        for parsed in records:
            ids += [name.decode() for name in parsed["image/filename"].numpy()]
            labels += parsed["image/class/label"].to_list()
        multi_hot = np.zeros((len(ids), self.num_classes), bool)
        for row, classes in zip(multi_hot, labels, strict=True):
            row[classes] = True
        return ids, multi_hot


def open_records(examples: Examples, split: str) -> RecordFiles:
    """The records of one side of the split, which must be on local disk: see `Examples.local_copy`."""
    shape = (examples.image_size_px, examples.image_size_px, len(examples.channels))
    return RecordFiles(examples.shard_uris(split), shape, len(examples.class_names))


def _pixel_starts(file: np.ndarray, path: str, shape: tuple[int, int, int]) -> Iterator[int]:
    """Where the pixels of each record begin: behind bytes that are the same in all."""
    num_bytes = math.prod(shape)
    before = before_pixels(num_bytes)
    for number, (start, end) in enumerate(_spans(file)):
        found = file[start : max(start, end - num_bytes)].tobytes().find(before)
        if found < 0:
            raise ValueError(f"{path}: record {number} holds no image of {' x '.join(map(str, shape))} bytes")
        yield start + found + len(before)


def _spans(file: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where the content of each record begins and ends."""
    position = 0
    while position + _HEADER_BYTES + _FOOTER_BYTES <= len(file):
        (length,) = _LENGTH.unpack(file[position : position + _LENGTH.size].tobytes())
        start = position + _HEADER_BYTES
        yield start, start + length
        position = start + length + _FOOTER_BYTES
    if position != len(file):
        raise ValueError(
            f"A TFRecord file of {len(file)} bytes does not end with a record: expected its end at byte {position}"
        )
