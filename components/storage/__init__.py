"""Bulk data by URI: whole files, published under their final names only when complete.

A URI is a path on this machine, `gs://<bucket>/<name>` in Google Cloud Storage, or `s3://<bucket>/<name>` in an S3 store.
Published files are never overwritten, except by `replace_bytes` and `swap`. A write that is retried because its response was
lost counts as done if the file already has the intended content: see `Store.write_if`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from components.storage.checksums import crc32, crc32c, file_crc32c
from components.storage.store import (
    INCOMING,
    SCHEMES,
    NoCredentialsError,
    Store,
    StoredFile,
    SwappedMeanwhileError,
    for_each,
    join,
    open_store,
)

__all__ = [
    "INCOMING",
    "SCHEMES",
    "NoCredentialsError",
    "Store",
    "StoredFile",
    "SwappedMeanwhileError",
    "crc32",
    "crc32c",
    "file_crc32c",
    "for_each",
    "join",
    "open_store",
]

_RANGE_TRIES = 3


def is_local(uri: str) -> bool:
    """Whether a URI is a local path."""
    return "://" not in uri


def exists(uri: str) -> bool:
    """Whether a complete file exists."""
    return stat(uri) is not None


def stat(uri: str) -> StoredFile | None:
    """The size of a complete file, and the checksums known without reading it; None if there is no such file."""
    return open_store(uri).stat(uri)


def stored_crc32c(uri: str) -> str:
    """The CRC-32C of a complete file, computed from its content if the store does not keep it.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return open_store(uri).crc32c(uri)


def with_checksums(uri: str, file: StoredFile) -> StoredFile:
    """A listed file with both checksums, computed from its content if the store does not keep them."""
    if not (file.crc32c and file.crc32):
        file = stat(uri) or file
    if file.crc32c and file.crc32:
        return file
    data = read_bytes(uri)
    return StoredFile(len(data), crc32c(data), crc32(data))


def modified_s(uri: str) -> float:
    """When a file was published, in seconds since 1970.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return open_store(uri).modified_s(uri)


def list_files(uri: str, is_deep: bool = False) -> dict[str, StoredFile]:
    """The complete files of a folder by name, from one request instead of many `stat`s; empty if there is no such folder.

    Args:
        uri: The folder.
        is_deep: Also list the files in folders below it, by relative path.
    """
    return open_store(uri).list_files(uri, is_deep)


def list_names(uri: str) -> list[str]:
    """The names of files and folders directly below a folder, sorted; empty if there is no such folder."""
    return open_store(uri).list_names(uri)


def list_tree(uri: str) -> list[str]:
    """The relative paths of the complete files anywhere below a folder, sorted."""
    return sorted(list_files(uri, is_deep=True))


def read_bytes(uri: str) -> bytes:
    """Reads a whole file."""
    return open_store(uri).read(uri)


def read_range(uri: str, start: int, length: int, is_whole: Callable[[bytes], bool]) -> bytes:
    """Reads exactly `length` bytes of a file.

    Args:
        uri: The file.
        start: The offset of the first byte.
        length: The number of bytes.
        is_whole: Verifies the bytes, because object stores keep no checksums of ranges.

    Raises:
        OSError: If the file is too short, or the bytes are damaged on every attempt.
    """
    for _ in range(_RANGE_TRIES):
        content = open_store(uri).read(uri, start, length)
        if len(content) == length and is_whole(content):
            return content
    raise OSError(
        f"{uri} is damaged: expected {length} bytes at offset {start} with valid checksums. Received: {len(content)} bytes. "
        "Delete it and run again, which recreates it"
    )


@contextlib.contextmanager
def create(uri: str) -> Iterator[Path]:
    """Yields a local path to write to, and publishes the file as `uri` on a clean exit.

    The file appears under its final name complete or not at all, even after a kill or on a full disk.

    Raises:
        FileExistsError: If `uri` already exists with other content.
    """
    store = open_store(uri)
    with store.unfinished(uri) as path:
        yield path
        store.write_if(uri, lambda: store.upload(path, uri, may_move=True), lambda: file_crc32c(path))


def write_bytes(uri: str, data: bytes, crc32: str = "", sync: bool = True) -> bool:
    """Publishes a small file, create-only.

    Args:
        uri: Its name.
        data: Its content.
        crc32: Its CRC-32, if known. An object store keeps it in the object's metadata for `stat`.
        sync: Whether the file must survive a power failure from now on, rather than only after `sync`.

    Returns:
        True if the file was written, False if it already existed.

    Raises:
        FileExistsError: If `uri` already exists with other content.
    """
    store = open_store(uri)
    return store.write_if(uri, lambda: store.write(uri, data, crc32, sync), lambda: crc32c(data))


def sync(uri: str) -> None:
    """Waits until everything written to the store of `uri` would survive a power failure."""
    open_store(uri).sync()


def store(path: Path, uri: str) -> None:
    """Publishes a copy of a local file, create-only.

    Raises:
        FileExistsError: If `uri` already exists with other content.
    """
    store = open_store(uri)
    store.write_if(uri, lambda: store.upload(path, uri, may_move=False), lambda: file_crc32c(path))


def replace_bytes(uri: str, data: bytes) -> None:
    """Replaces the content of a pointer file. Readers see either the old content or the new."""
    open_store(uri).replace(uri, data)


def read_with_generation(uri: str) -> tuple[bytes, str] | None:
    """Reads a pointer file and its generation, an opaque identifier of its content; None if there is no such file."""
    return open_store(uri).read_with_generation(uri)


def swap(uri: str, data: bytes, generation: str) -> None:
    """Replaces the content of a pointer file unless another process has changed it since it was read (compare-and-swap).

    Args:
        uri: The file.
        data: Its new content, which it must never have had before, because local generations are hashes of the content.
        generation: From `read_with_generation`; empty if there was no file.

    Raises:
        SwappedMeanwhileError: If the file has changed. It is left unchanged.
    """
    store = open_store(uri)
    try:
        store.write_if(uri, lambda: store.swap(uri, data, generation), lambda: crc32c(data))
    except FileExistsError:
        _, now = store.read_with_generation(uri) or (b"", "")
        raise SwappedMeanwhileError(
            f"{uri} was changed by another process in the meantime: run again. "
            f"Expected {f'generation {generation}' if generation else 'no file'}. Received: {now or 'no file'}"
        ) from None


def sweep(uri: str) -> None:
    """Removes the unfinished files of killed processes from a folder. The first write to a folder also does this."""
    open_store(uri).sweep(uri)


def find_unfinished(uri: str) -> list[Path]:
    """The folders with unfinished files of killed processes anywhere below `uri`; none in an object store."""
    return open_store(uri).find_unfinished(uri)


def remove(uri: str) -> None:
    """Removes a file, if it exists."""
    open_store(uri).remove(uri)


def remove_tree(uri: str) -> None:
    """Removes everything below `uri`, if it exists."""
    open_store(uri).remove_tree(uri)


def fetch(uri: str, path: Path) -> None:
    """Copies a file to a local path, and creates its folder."""
    _fetch(uri, path, may_link=False)


def fetch_tree(uri: str, folder: Path) -> None:
    """Copies or links everything below `uri` to a local folder that may exist already. Do not write to these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for_each(lambda name: _fetch(join(uri, name), folder / name, may_link=True), list_tree(uri))


def _fetch(uri: str, path: Path, may_link: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    open_store(uri).fetch(uri, path, may_link)


def create_tree(folder: Path, uri: str) -> None:
    """Publishes every file below a local folder under `uri`, to which no other process may write.

    The files appear in any order: publish the file that marks the tree as complete afterwards.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for_each(lambda path: store(path, join(uri, path.relative_to(folder).as_posix())), files)


def incoming_folder(uri: str) -> contextlib.AbstractContextManager[str]:
    """Yields an empty folder below `uri` whose name is not a number, for `move_folder` to rename once it is complete.

    A folder that was not moved is removed at the end.
    """
    return open_store(uri).incoming_folder(uri)


def move_folder(incoming_uri: str, uri: str, first: str, last: str) -> None:
    """Gives a folder of `incoming_folder` its final name, create-only.

    TensorFlow Serving loads the folder with the highest number, complete or not. A local folder appears complete. An object
    store cannot rename folders: the files are copied within a second or two, and a kill in between leaves an incomplete folder.

    Args:
        incoming_uri: The folder.
        uri: Its final name.
        first: The file that is copied first in an object store, which claims the name.
        last: The file that is copied last. A folder without it is incomplete.

    Raises:
        FileExistsError: If the name is taken: locally by any folder, in an object store by one with a different file `first`.
    """
    open_store(uri).move_folder(incoming_uri, uri, first, last)


def remove_folder(uri: str, first: str, last: str) -> None:
    """Removes a folder: atomically on a local disk; in an object store, `first` before all other files and `last` after them.

    The remains of a killed removal can therefore be recognised.
    """
    open_store(uri).remove_folder(uri, first, last)
