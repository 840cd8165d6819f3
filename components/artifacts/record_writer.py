"""Writes TFRecord files of `tf.train.Example` without TensorFlow, so that workers which write them start fast and stay small.

What an example holds is described in `components.artifacts.records`, which reads them. The bytes are those that TensorFlow
writes: TFRecord's framing (tensorflow/core/lib/io/record_writer.h), and the protocol buffers of
tensorflow/core/example/example.proto with the features sorted by name.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import google_crc32c
import numpy as np

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _LENGTH.size + _CHECKSUM.size
_PIXELS = "image/raw"


class RecordWriter:
    """Writes one TFRecord file.

    Attributes:
        num_bytes: The size of what was written.
        num_records: How many records that is.
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
        """The CRC-32C of what was written, as `components.storage` gives it."""
        return self._checksum.digest().hex()

    def write(self, record: bytes) -> int:
        """Appends a record, as `frame_record` gives it, and says where it begins."""
        start = self.num_bytes
        self._file.write(record)
        self._checksum.update(record)
        self.num_bytes += len(record)
        self.num_records += 1
        return start


def encode_example(sample_id: str, pixels: np.ndarray, labels: Sequence[int]) -> bytes:
    """Serialises one example. `pixels` is uint8, height x width x channels."""
    height, width, channels = pixels.shape
    features = {
        "image/channels": _integers([channels]),
        "image/class/label": _integers(labels),
        "image/filename": _content(sample_id.encode()),
        "image/height": _integers([height]),
        _PIXELS: _content(pixels.tobytes()),
        "image/width": _integers([width]),
    }
    entries = [_field(1, _field(1, [name.encode()]) + _field(2, feature)) for name, feature in features.items()]
    return b"".join(_field(1, list(chain.from_iterable(entries))))


def before_pixels(num_bytes: int) -> bytes:
    """What stands in an example right before pixels of so many bytes: where it is found, they can be read in place."""
    return b"".join([*_field(1, [_PIXELS.encode()]), *_field(2, _content(bytes(num_bytes)))[:-1]])


def frame_record(example: bytes) -> bytes:
    """A record: the length of its content, the content, and a checksum of each."""
    length = _LENGTH.pack(len(example))
    return b"".join((length, _CHECKSUM.pack(_masked_crc32c(length)), example, _CHECKSUM.pack(_masked_crc32c(example))))


def is_whole_record(record: bytes) -> bool:
    """Whether a record is what was written, by its own length and checksums."""
    length, content = record[: _LENGTH.size], record[_HEADER_BYTES : -_CHECKSUM.size]
    checksums = record[_LENGTH.size : _HEADER_BYTES] + record[-_CHECKSUM.size :]
    expected = _CHECKSUM.pack(_masked_crc32c(length)) + _CHECKSUM.pack(_masked_crc32c(content))
    return length == _LENGTH.pack(len(content)) and checksums == expected


def _masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord keeps it: changed, for data that holds checksums itself."""
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _integers(values: Sequence[int]) -> list[bytes]:
    """A Feature that is an Int64List."""
    packed = [_varint(value) for value in values]
    return _field(3, _field(1, packed) if packed else [])


def _content(value: bytes) -> list[bytes]:
    """A Feature that is a BytesList of one value."""
    return _field(1, _field(1, [value]))


def _field(number: int, content: list[bytes]) -> list[bytes]:
    """A field of a protocol buffer whose content has a length: bytes, a message or packed numbers.

    All is in pieces that are joined once, as most of an example is one large piece.
    """
    return [bytes([number << 3 | 2]), _varint(sum(map(len, content))), *content]


def _varint(value: int) -> bytes:
    """A whole number, not negative, in as few bytes as it needs: seven bits in each, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
