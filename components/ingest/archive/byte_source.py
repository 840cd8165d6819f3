"""Byte sources: local or remote files that are read by byte ranges."""

import contextlib
import errno
import io
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.ingest.archive.retry import retrying

LONGEST_SKIP_BYTES = 1 << 16
"""Reading and discarding a gap of up to this size is cheaper than another request."""

Read = Callable[[int], bytes]
"""Returns the next bytes, exactly as many as requested. It must not be called again after an OSError."""


class ByteSource(Protocol):
    """A local or remote file. Threads may share one, because each opens its own streams."""

    @property
    def name(self) -> str:
        """The name of the file in errors."""

    @property
    def num_bytes(self) -> int:
        """Its size."""

    def stream(self, start: int, end: int) -> AbstractContextManager[Read]:
        """Opens the bytes from `start` up to `end`."""


class LocalFile:
    """A file on disk. It is kept open, so that it may be deleted or replaced while it is read."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.name = name or str(path)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.num_bytes = os.fstat(self._file).st_size

    @contextlib.contextmanager
    def stream(self, start: int, end: int) -> Iterator[Read]:
        """Opens the bytes from `start` on."""
        position = start

        def read(num_bytes: int) -> bytes:
            nonlocal position
            data = os.pread(self._file, num_bytes, position)
            if len(data) != num_bytes:
                raise OSError(
                    f"{self.name}: expected {num_bytes} bytes at offset {position}. Received: {len(data)} bytes. "
                    "The file was truncated while it was read: run again"
                )
            position += num_bytes
            return data

        yield read


@dataclass(frozen=True)
class Slice:
    """A part of another source."""

    source: ByteSource
    start: int
    num_bytes: int
    name: str

    def stream(self, start: int, end: int) -> AbstractContextManager[Read]:
        """Opens the bytes from `start` up to `end`, both relative to the start of the part."""
        return self.source.stream(self.start + start, self.start + end)


class RangeFile(io.RawIOBase):
    """A source as a seekable file. Consecutive reads share one request.

    Args:
        source: The source.
        end: The end of requests; the size of the source by default.
    """

    def __init__(self, source: ByteSource, end: int | None = None) -> None:
        self._source = source
        self._end = source.num_bytes if end is None else end
        self._position = 0
        self._read: Read | None = None
        self._read_position = 0
        self._opened = contextlib.ExitStack()

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Sets the position. The next read opens another stream, unless it begins at or soon after the end of the last one."""
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return position

    def read(self, size: int = -1) -> bytes:
        """Reads `size` bytes, or fewer at the end of the file. The position stays the same after an error."""
        num_bytes = max(0, self._end - self._position)
        num_bytes = num_bytes if size < 0 else min(size, num_bytes)
        if not num_bytes:
            return b""
        try:
            data = self._stream_at(self._position)(num_bytes)
        except OSError:
            self._close_stream()
            raise
        self._position = self._read_position = self._position + num_bytes
        return data

    def close(self) -> None:
        """Closes the stream."""
        self._close_stream()
        super().close()

    def _stream_at(self, position: int) -> Read:
        gap = position - self._read_position
        if self._read and 0 <= gap <= LONGEST_SKIP_BYTES:
            self._read(gap)
            return self._read
        self._close_stream()
        self._read = self._opened.enter_context(self._source.stream(position, self._end))
        return self._read

    def _close_stream(self) -> None:
        self._read = None
        self._opened.close()


class RetryingFile(RangeFile):
    """A `RangeFile` that retries transient errors."""

    def read(self, size: int = -1) -> bytes:
        """Reads `size` bytes, or fewer at the end of the file."""
        return retrying()(super().read, size)


def read_range(source: ByteSource, start: int, end: int) -> bytes:
    """Reads the bytes from `start` up to `end`, and retries transient errors."""
    with RetryingFile(source, end) as file:
        file.seek(start)
        return file.read()
