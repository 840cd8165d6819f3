"""The examples of one side of the split, read by number: so an epoch can have any order, and start anywhere in it."""

import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.shared.manifest import Examples

_LENGTH = struct.Struct("<Q")
_HEADER_BYTES = _LENGTH.size + 4
_FOOTER_BYTES = 4
_BATCH = 256


class RecordFiles:
    """TFRecord files on local disk, mapped into memory: what is not read takes none."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Finds where each record lies.

        Raises:
            ValueError: If a file does not end where a record does.
        """
        self._paths = list(paths)
        self._files = [np.memmap(path, np.uint8, "r") for path in paths if Path(path).stat().st_size]
        spans = [(number, *span) for number, file in enumerate(self._files) for span in _spans(file)]
        self._spans = np.array(spans, np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._spans)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """The serialised examples of these numbers: an array of bytes objects."""
        spans = self._spans[numbers]
        return np.array([self._files[file][start:end].tobytes() for file, start, end in spans], object)

    @cached_property
    def descriptions(self) -> tuple[list[str], np.ndarray]:
        """The id of each example; and the labels: a bool array of shape (examples, the largest label there is + 1).

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
        multi_hot = np.zeros((len(ids), 1 + max((max(row, default=0) for row in labels), default=0)), bool)
        for row, classes in zip(multi_hot, labels, strict=True):
            row[classes] = True
        return ids, multi_hot


def open_records(examples: Examples, split: str) -> RecordFiles:
    """The records of one side of the split, which must be on local disk: see `components.shared.staging`."""
    return RecordFiles(examples.shard_uris(split))


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
