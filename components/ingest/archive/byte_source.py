"""What an archive is read from: anything that gives its bytes in order, from one place to another."""

import contextlib
import os
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from components.ingest.archive.retry import retrying

LONGEST_SKIP_BYTES = 1 << 16
"""A gap up to this long is read and thrown away; a longer one costs more than a new stream."""


class ByteStream(Protocol):
    """Bytes in order."""

    def read_exactly(self, num_bytes: int) -> bytes:
        """The next bytes.

        Raises:
            OSError: If fewer come. The stream is of no more use then.
        """


class ByteSource(Protocol):
    """A file, wherever it lies. Many threads read one at once, each by streams of its own."""

    @property
    def name(self) -> str:
        """What errors call it, with what to do if its content is wrong."""

    @property
    def num_bytes(self) -> int:
        """Its size."""

    def stream(self, start: int, end: int) -> AbstractContextManager[ByteStream]:
        """Opens the bytes from `start` up to `end`."""


def read_range(source: ByteSource, start: int, end: int) -> bytes:
    """Reads some bytes at once; what fails and may pass is tried again."""

    def read() -> bytes:
        with source.stream(start, end) as stream:
            return stream.read_exactly(end - start)

    return retrying()(read)


class LocalFile:
    """A file on disk. It stays open, so that it may be removed or replaced meanwhile."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.name = name or str(path)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.num_bytes = os.fstat(self._file).st_size

    @contextlib.contextmanager
    def stream(self, start: int, end: int) -> Iterator[ByteStream]:
        """Opens the bytes from `start` on."""
        yield _LocalStream(self, self._file, start)


class _LocalStream:
    def __init__(self, owner: LocalFile, file: int, position: int) -> None:
        self._owner = owner  # closes the file when nobody holds it
        self._file = file
        self._position = position

    def read_exactly(self, num_bytes: int) -> bytes:
        data = os.pread(self._file, num_bytes, self._position)
        if len(data) != num_bytes:
            raise OSError(
                f"{self._owner.name}: expected {num_bytes} bytes from byte {self._position} on. Received: {len(data)} bytes"
            )
        self._position += num_bytes
        return data


@dataclass(frozen=True)
class Slice:
    """A part of a source that is a file of its own."""

    source: ByteSource
    start: int
    num_bytes: int
    name: str

    def stream(self, start: int, end: int) -> AbstractContextManager[ByteStream]:
        """Opens the bytes from `start` up to `end`, counted from where the part starts."""
        return self.source.stream(self.start + start, self.start + end)


class ForwardReader:
    """Reads a source from front to back up to `end`, by one stream as long as that works."""

    def __init__(self, source: ByteSource, end: int) -> None:
        self._source = source
        self._end = end
        self._position = 0
        self._stream: ByteStream | None = None
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def go_to(self, offset: int) -> None:
        """Makes `offset` the next byte. After a failure, or for a place far off, this opens another stream."""
        gap = offset - self._position
        if self._stream and 0 <= gap <= LONGEST_SKIP_BYTES:
            self.read_exactly(gap)
            return
        self._close()
        self._stream = self._opened.enter_context(self._source.stream(offset, self._end))
        self._position = offset

    def read_exactly(self, num_bytes: int) -> bytes:
        """The next bytes after the place that `go_to` named."""
        assert self._stream
        try:
            data = self._stream.read_exactly(num_bytes)
        except OSError:
            self._close()
            raise
        self._position += num_bytes
        return data

    def _close(self) -> None:
        self._stream = None
        self._opened.close()
