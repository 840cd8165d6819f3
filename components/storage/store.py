"""What a back end of `components.storage` does."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a stored file without reading it.

    Attributes:
        num_bytes: Its size.
        crc32c: The checksum that Google Cloud Storage keeps of every object; empty where only reading the file can tell.
        crc32: The checksum that ZIP archives keep of their members; empty likewise.
    """

    num_bytes: int
    crc32c: str = ""
    crc32: str = ""


class Store(Protocol):
    """What a back end does. Every URI is one of its own."""

    def stat(self, uri: str) -> StoredFile | None:
        """A complete file's size, and the checksums that are known without reading it; None where there is no file."""

    def modified_s(self, uri: str) -> float:
        """When a file was published, in seconds since 1970."""

    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        """The files directly below a folder, by name; or anywhere below it, by their paths from there."""

    def list_names(self, uri: str) -> list[str]:
        """The names of files and folders directly below a folder, sorted."""

    def list_tree(self, uri: str) -> list[str]:
        """The files anywhere below a folder, relative to it, sorted."""

    def read(self, uri: str, start: int, length: int | None) -> bytes:
        """Reads a part of a file: all from `start` on where `length` is None."""

    def write(self, uri: str, data: bytes, crc32: str, sync: bool) -> None:
        """Publishes a file, create-only."""

    def sync(self) -> None:
        """Returns when all that was written would survive a power cut."""

    def create(self, uri: str) -> contextlib.AbstractContextManager[Path]:
        """Gives a local path to write, and publishes it on a clean exit, create-only."""

    def store(self, path: Path, uri: str) -> None:
        """Publishes a copy of a local file, create-only."""

    def fetch(self, uri: str, path: Path, may_link: bool) -> None:
        """Puts a copy of a file in place of a local path; or another name for it, if `may_link`."""

    def replace(self, uri: str, data: bytes) -> None:
        """Swaps the content of a pointer file."""

    def read_with_generation(self, uri: str) -> tuple[bytes, str] | None:
        """Reads a pointer file, and what identifies its present content; None where there is no file."""

    def swap(self, uri: str, data: bytes, generation: str) -> bool:
        """Swaps a pointer file's content if its generation is still this one, and says whether it was."""

    def sweep(self, uri: str) -> None:
        """Removes what killed processes have left unfinished in a folder."""

    def remove(self, uri: str) -> None:
        """Removes a file, if it is there."""

    def remove_tree(self, uri: str) -> None:
        """Removes everything below a folder."""
