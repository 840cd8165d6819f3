"""Keeps copies on disk of what cannot be read in ranges: an archive whose server refuses ranges, or a compressed nested one."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from components.ingest.archive.byte_source import ByteSource, LocalFile, read_range
from components.ingest.archive.remote import RangesRefusedError, RemoteFile
from components.ingest.archive.retry import retrying
from components.runtime.progress import progress_bar
from components.runtime.scratch import LOCK, SPOOL, find_abandoned, open_lock, private_folder, private_path, remove_abandoned
from components.runtime.wording import size_of

_PIECE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class Spool:
    """The copies of one source, in a folder below TMPDIR that only this user can read.

    A context manager. On exit, the copies are removed, including those of earlier versions of the source, unless another
    process reads them or this one was interrupted (an OSError, Ctrl-C, SIGTERM or a kill): the same command then resumes.
    """

    def __init__(self, source: str) -> None:
        """Creates nothing yet. A source's name consists of letters, digits, `_` and `-`."""
        self._source = source
        self._locks: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        is_interrupted = kind and (issubclass(kind, OSError) or not issubclass(kind, Exception))
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()
        for place in [] if is_interrupted else find_abandoned(private_path(SPOOL)):
            if place.name.startswith(f"{self._source}."):
                remove_abandoned(place)

    def readable(self, file: RemoteFile) -> ByteSource:
        """Returns the file itself if its server serves ranges, or else a copy on disk.

        Raises:
            OSError: As `RemoteFile.stream` and `download` do.
        """
        try:
            read_range(file, 0, 1)
        except RangesRefusedError:
            return self.download(file)
        return file

    def download(self, file: RemoteFile) -> LocalFile:
        """Downloads a whole file, or continues an interrupted download.

        A complete copy is reused while the file's ETag and size stay the same. Without an ETag, nothing is reused.

        Raises:
            OSError: If there is not enough space on disk, or the download fails on every attempt.
            ValueError: If the file has changed.
        """
        key = hashlib.sha256(f"{file.etag}\0{file.num_bytes}".encode()).hexdigest()
        with self._claim(key) as (path, partial_path):
            if path.is_file():
                return _copy(path)
            with partial_path.open("ab", buffering=0) as partial:
                if not file.etag:
                    partial.truncate(0)
                missing_bytes = file.num_bytes - partial.tell()
                _log.info(
                    "the server does not support range requests: downloading %s of the archive to %s first (%s in total)",
                    size_of(missing_bytes),
                    path,
                    size_of(file.num_bytes),
                )
                _check_room(path.parent, missing_bytes)
                retrying()(_download_rest, file, partial)
            if file.etag:
                return _publish(partial_path, path)
            copy = _copy(partial_path)
            partial_path.unlink()  # it stays readable until this process ends
            return copy

    def keep(self, key: str, name: str, pieces: Iterable[bytes], num_bytes: int) -> LocalFile:
        """Writes pieces to a file, which is reused under the same key.

        Args:
            key: A hash of the origin of the pieces.
            name: The name of the file in the log.
            pieces: Read only if there is no such file yet. If reading fails, no file is left.
            num_bytes: The sum of their lengths.

        Raises:
            OSError: If there is not enough space on disk.
        """
        with self._claim(key) as (path, partial_path):
            if path.is_file():
                return _copy(path)
            _log.info("%s is compressed in the archive: unpacking its %s to %s first", name, size_of(num_bytes), path)
            _check_room(path.parent, num_bytes)
            try:
                with partial_path.open("wb", buffering=0) as partial:
                    _write(partial, pieces, num_bytes)
                return _publish(partial_path, path)
            finally:
                partial_path.unlink(missing_ok=True)  # unpacking cannot be resumed

    @contextlib.contextmanager
    def _claim(self, key: str) -> Iterator[tuple[Path, Path]]:
        """Yields the paths of the complete and the partial file, to one process at a time.

        No other process removes their folder before the end of the spool.
        """
        while True:
            place = private_folder(SPOOL) / f"{self._source}.{key}"
            with contextlib.suppress(FileNotFoundError):  # another process has just removed the folder
                place.mkdir(exist_ok=True)
                lock = open_lock(place)
                self._locks.append(lock)
                fcntl.flock(lock, fcntl.LOCK_SH)
                if (place / LOCK).exists():
                    break
        with (place / "writer.lock").open("wb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)  # waits for a process that is writing the copy
            yield place / "archive.zip", place / "archive.partial"


def _download_rest(file: RemoteFile, partial: BinaryIO) -> None:
    position = partial.seek(0, os.SEEK_END)
    if position == file.num_bytes:
        return
    with file.stream_on(position) as (start, read):
        partial.truncate(start)
        offsets = range(start, file.num_bytes, _PIECE_BYTES)
        pieces = (read(min(_PIECE_BYTES, file.num_bytes - offset)) for offset in offsets)
        _write(partial, pieces, file.num_bytes - start)


def _write(file: BinaryIO, pieces: Iterable[bytes], num_bytes: int) -> None:
    with progress_bar(num_bytes, "B") as progress:
        for piece in pieces:
            left = memoryview(piece)
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError as error:  # the error of a full disk does not name the file
                error.filename = file.name
                raise
            progress.update(len(piece))


def _check_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise OSError(
            errno.ENOSPC,
            f"expected {size_of(needed_bytes)} of free space. Received: {size_of(free_bytes)}. "
            "Delete the remains of earlier runs with `python -m pipeline prune`, or set TMPDIR to a folder on a larger disk",
            str(folder),
        )


def _publish(partial_path: Path, path: Path) -> LocalFile:
    partial_path.replace(path)
    return _copy(path)


def _copy(path: Path) -> LocalFile:
    return LocalFile(path, f"The archive's copy {path}")
