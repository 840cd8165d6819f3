"""Writes the TFRecord files of examples without TensorFlow, so that workers start fast and stay small.

Each record is a `tf.train.Example`:

| feature | type | content |
|---|---|---|
| image/raw | bytes | uint8 pixels, height x width x channels, row by row |
| image/height, image/width, image/channels | int64 | the shape |
| image/filename | bytes | the sample's id |
| image/class/label | int64 list | class indices, sorted |

The bytes are the same as TensorFlow's: TFRecord's framing (tensorflow/core/lib/io/record_writer.h), and the protocol buffers of
tensorflow/core/example/example.proto with the features sorted by name.
"""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import google_crc32c
import numpy as np

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
# The frame of a record's content.
HEADER_BYTES = _LENGTH.size + _CHECKSUM.size
FOOTER_BYTES = _CHECKSUM.size


class RecordWriter:
    """Writes one TFRecord file.

    Attributes:
        num_bytes: The number of bytes written.
        num_records: The number of records written.
    """

    def __init__(self, path: Path) -> None:
        self.num_bytes = 0
        self.num_records = 0
        self._file = path.open("wb")
        self._checksum = google_crc32c.Checksum()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    @property
    def crc32c(self) -> str:
        """The CRC-32C of the file, in the format of `components.storage`."""
        return self._checksum.digest().hex()

    def write(self, record: bytes) -> int:
        """Appends a record from `frame_record`, and returns its offset."""
        start = self.num_bytes
        self._file.write(record)
        self._checksum.update(record)
        self.num_bytes += len(record)
        self.num_records += 1
        return start


def encode_example(sample_id: str, pixels: np.ndarray, labels: Sequence[int]) -> bytes:
    """Serialises one example. `pixels` is uint8, of shape (height, width, channels)."""
    before, after = example_parts(sample_id, pixels.shape, labels)
    return b"".join((before, pixels.tobytes(), after))


def example_parts(sample_id: str, shape: tuple[int, ...], labels: Sequence[int]) -> tuple[bytes, bytes]:
    """The bytes of a serialised example before and after its pixels, whose shape is (height, width, channels)."""
    height, width, channels = shape
    pixels = range(math.prod(shape))  # a placeholder of the same length, without the memory
    features = {
        "image/channels": _integers([channels]),
        "image/class/label": _integers(labels),
        "image/filename": _content(sample_id.encode()),
        "image/height": _integers([height]),
        "image/raw": _content(pixels),
        "image/width": _integers([width]),
    }
    entries = [_field(1, _field(1, [name.encode()]) + _field(2, feature)) for name, feature in features.items()]
    pieces = _field(1, list(chain.from_iterable(entries)))
    place = pieces.index(pixels)
    return b"".join(pieces[:place]), b"".join(pieces[place + 1 :])


def frame_record(example: bytes) -> bytes:
    """Frames a record: the length of its content, the content, and a checksum of each."""
    length = _LENGTH.pack(len(example))
    return b"".join((length, _CHECKSUM.pack(_masked_crc32c(length)), example, _CHECKSUM.pack(_masked_crc32c(example))))


def is_whole_record(record: bytes) -> bool:
    """Whether a record is intact, by its own length and checksums."""
    length, content = record[: _LENGTH.size], record[HEADER_BYTES : -_CHECKSUM.size]
    checksums = record[_LENGTH.size : HEADER_BYTES] + record[-_CHECKSUM.size :]
    expected = _CHECKSUM.pack(_masked_crc32c(length)) + _CHECKSUM.pack(_masked_crc32c(content))
    return length == _LENGTH.pack(len(content)) and checksums == expected


def _masked_crc32c(data: bytes) -> int:
    """TFRecord's masked checksum, for data that may contain checksums."""
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _integers(values: Sequence[int]) -> list[Any]:
    """A Feature that is an Int64List."""
    packed = [_varint(value) for value in values]
    return _field(3, _field(1, packed) if packed else [])


def _content(value: bytes | range) -> list[Any]:
    """A Feature that is a BytesList of one value."""
    return _field(1, _field(1, [value]))


def _field(number: int, content: list[Any]) -> list[Any]:
    """A length-delimited field of a protocol buffer: bytes, a message or packed numbers.

    Only the lengths of the content's pieces matter here, so a range can stand for the pixels.
    """
    return [bytes([number << 3 | 2]), _varint(sum(map(len, content))), *content]


def _varint(value: int) -> bytes:
    """A non-negative integer as a varint: seven bits per byte, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
