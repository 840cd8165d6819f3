"""The interface of a storage backend, the table of backends, and their shared functions.

A new backend is a subclass of `Store` in a module of its own and an entry in `_BACKENDS`.
"""

import contextlib
import functools
import importlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from components.runtime.scratch import scratch_folder
from components.storage.checksums import crc32c

# The module and the class of each backend, by scheme; paths have none. Imported lazily: local runs skip the clients of stores.
_BACKENDS = {
    "": ("components.storage.local", "LocalStore"),
    "gs": ("components.storage.gcs", "GcsStore"),
    "s3": ("components.storage.s3", "S3Store"),
}
# The schemes of object stores.
SCHEMES = tuple(filter(None, _BACKENDS))

# The prefix of unfinished folders in object stores, which have no hidden place for them.
INCOMING = ".incoming-"

_IN_FLIGHT = 16

_Item = TypeVar("_Item")


class SwappedMeanwhileError(OSError):
    """Another process has changed a pointer file since it was read."""


class NoCredentialsError(PermissionError):
    """This machine has no credentials. Other machines may have some."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a stored file without reading it.

    Attributes:
        num_bytes: Its size.
        crc32c: The checksum that object stores keep; empty if it takes `stat` or reading the file to know it.
        crc32: The checksum that ZIP archives keep of their members; empty in the same case.
        version: A time or an ETag that changes with the content, if the store has one. Ignored in comparisons.
    """

    num_bytes: int
    crc32c: str = ""
    crc32: str = ""
    version: str = field(default="", compare=False)


class Store(ABC):
    """A storage backend, for the URIs of one scheme.

    `write`, `upload`, `copy` and `swap` are conditional: they raise FileExistsError if their condition does not hold. Call them
    through `write_if`. The default methods suit object stores, whose objects appear complete or not at all.
    """

    @abstractmethod
    def stat(self, uri: str) -> StoredFile | None:
        """The size of a complete file, and the checksums known without reading it; None if there is no such file."""

    @abstractmethod
    def modified_s(self, uri: str) -> float:
        """When a file was published, in seconds since 1970."""

    @abstractmethod
    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        """The complete files directly below a folder by name, or anywhere below it by relative path, sorted."""

    @abstractmethod
    def list_names(self, uri: str) -> list[str]:
        """The names of files and folders directly below a folder, sorted."""

    @abstractmethod
    def read(self, uri: str, start: int = 0, length: int | None = None) -> bytes:
        """Reads up to `length` bytes of a file; None reads to the end."""

    @abstractmethod
    def read_with_generation(self, uri: str) -> tuple[bytes, str] | None:
        """Reads a file and an identifier of its content; None if there is no such file."""

    @abstractmethod
    def fetch(self, uri: str, path: Path, may_link: bool) -> None:
        """Replaces a local path with a copy of a file, or with a hard link to it if `may_link`."""

    @abstractmethod
    def write(self, uri: str, data: bytes, crc32: str, sync: bool) -> None:
        """Publishes bytes, create-only."""

    @abstractmethod
    def upload(self, path: Path, uri: str, may_move: bool) -> None:
        """Publishes a local file, create-only; `may_move` if its path came from `unfinished`."""

    @abstractmethod
    def copy(self, source_uri: str, uri: str) -> None:
        """Copies a file within the store, create-only."""

    @abstractmethod
    def swap(self, uri: str, data: bytes, generation: str) -> None:
        """Replaces a file's content if it still has this generation; empty for no file."""

    @abstractmethod
    def replace(self, uri: str, data: bytes) -> None:
        """Replaces a file's content, whatever it is."""

    @abstractmethod
    def remove(self, uri: str) -> None:
        """Removes a file, if it exists."""

    def write_if(self, uri: str, write: Callable[[], None], content_crc32c: Callable[[], str]) -> bool:
        """Makes a conditional write. If it is refused, the content of the file decides.

        If the response to a request is lost, the client retries the request, and the store refuses it because the first one
        succeeded. A refused write has therefore succeeded if the file has the intended content.

        Args:
            uri: The file.
            write: Writes it, or raises FileExistsError.
            content_crc32c: Returns the CRC-32C of the intended content.

        Returns:
            True if `write` succeeded, False if the file already had the content.

        Raises:
            FileExistsError: If the file has other content.
        """
        try:
            write()
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # removed in the meantime
                if self.crc32c(uri) == content_crc32c():
                    return False
            raise FileExistsError(
                f"{uri} already exists with other content and was not overwritten. If it is not needed, delete it and run again"
            ) from None
        return True

    def crc32c(self, uri: str) -> str:
        """The CRC-32C of a file, computed from its content if the store does not keep it."""
        file = self.stat(uri)
        return file.crc32c if file and file.crc32c else crc32c(self.read(uri))

    @contextlib.contextmanager
    def unfinished(self, uri: str) -> Iterator[Path]:
        """Yields a local path for a file that `upload` will publish as `uri`. It is removed at the end."""
        with scratch_folder() as folder:
            yield folder / local_name(uri)

    def sync(self) -> None:  # noqa: B027 (an uploaded object is safe)
        """Waits until everything written would survive a power failure."""

    def sweep(self, uri: str) -> None:  # noqa: B027 (there are no unfinished objects)
        """Removes the unfinished files of killed processes from a folder."""

    def find_unfinished(self, uri: str) -> list[Path]:
        """The folders with unfinished files of killed processes anywhere below a folder."""
        return []

    def remove_tree(self, uri: str) -> None:
        """Removes everything below a folder."""
        for_each(lambda name: self.remove(join(uri, name)), list(self.list_files(uri, is_deep=True)))

    @contextlib.contextmanager
    def incoming_folder(self, uri: str) -> Iterator[str]:
        """Yields an empty folder below `uri` for `move_folder`. It is removed at the end unless it was moved."""
        folder = join(uri, f"{INCOMING}{secrets.token_hex(4)}")
        try:
            yield folder
        finally:
            self.remove_tree(folder)

    def move_folder(self, incoming_uri: str, uri: str, first: str, last: str) -> None:
        """Gives an incoming folder its final name, create-only."""

        def copy(name: str) -> None:
            source, target = join(incoming_uri, name), join(uri, name)
            self.write_if(target, lambda: self.copy(source, target), lambda: self.crc32c(source))

        # Not every store honours the condition of a copy, so a write claims the name.
        claim, claimed = self.read(join(incoming_uri, first)), join(uri, first)
        self.write_if(claimed, lambda: self.write(claimed, claim, crc32="", sync=True), lambda: crc32c(claim))
        for_each(copy, [name for name in self.list_files(incoming_uri, is_deep=True) if name not in (first, last)])
        copy(last)

    def remove_folder(self, uri: str, first: str, last: str) -> None:
        """Removes a folder, the file `first` before all others, and `last` after them."""
        self.remove(join(uri, first))
        for_each(
            lambda name: self.remove(join(uri, name)), [name for name in self.list_files(uri, is_deep=True) if name != last]
        )
        self.remove(join(uri, last))


def open_store(uri: str) -> Store:
    """The backend of a URI, chosen by its scheme.

    Raises:
        ValueError: If there is no such backend.
    """
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme not in _BACKENDS:
        known = " or ".join(f"{name}://<bucket>/<name>" for name in SCHEMES)
        raise ValueError(f"Expected a path, {known}. Received: {uri}")
    return _open(scheme)


@functools.cache
def _open(scheme: str) -> Store:
    module, name = _BACKENDS[scheme]
    store: Store = getattr(importlib.import_module(module), name)()
    return store


def join(uri: str, *parts: str) -> str:
    """Appends path parts to a URI."""
    return "/".join((uri.rstrip("/"), *parts))


def local_name(uri: str) -> str:
    """The end of a file's name: writers may choose the format by its suffix, and file systems limit names to 255 bytes."""
    return uri.rpartition("/")[2][-40:]


def for_each(act: Callable[[_Item], None], items: Iterable[_Item]) -> None:
    """Calls a function for many items at a time, to hide the latency of an object store."""
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        list(pool.map(act, items))
