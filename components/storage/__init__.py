"""The one way in which steps read and write bulk data: whole files, published under their final name only when complete.

A URI is a path on this machine, or `gs://<bucket>/<name>` in Google Cloud Storage. What is published is never overwritten, save
by `replace_bytes` and `swap`.
"""

import contextlib
import importlib
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import google_crc32c

from components.storage.store import Store, StoredFile

_IN_FLIGHT = 16

_CHUNK_BYTES = 1 << 20

_Item = TypeVar("_Item")


class SwappedMeanwhileError(OSError):
    """Somebody else has changed a pointer file since it was read."""


class NoCredentialsError(PermissionError):
    """There are no credentials at all, which says nothing of what another machine may do."""


def _store(uri: str) -> Store:
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme not in ("", "gs"):
        raise ValueError(f"Expected a path, or gs://<bucket>/<name>. Received: {uri}")
    # Who works on local files need not wait until the client of the object store is loaded.
    store: Store = importlib.import_module(f"components.storage.{'gcs' if scheme else 'local'}")
    return store


def is_local(uri: str) -> bool:
    """Whether a URI is a path on this machine."""
    return "://" not in uri


def join(uri: str, *parts: str) -> str:
    """Appends path parts to a URI."""
    return "/".join((uri.rstrip("/"), *parts))


def crc32c(data: bytes) -> str:
    """The CRC-32C of some bytes, as 8 hexadecimal digits: the checksum that Google Cloud Storage keeps of every object."""
    return f"{google_crc32c.value(data):08x}"


def crc32(data: bytes) -> str:
    """The CRC-32 of some bytes, as 8 hexadecimal digits: the checksum that ZIP archives keep of their members."""
    return f"{zlib.crc32(data):08x}"


def file_crc32c(path: Path) -> str:
    """The CRC-32C of a local file, read in pieces."""
    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.digest().hex()


def exists(uri: str) -> bool:
    """Says whether a complete file has this name."""
    return _store(uri).stat(uri) is not None


def size_bytes(uri: str) -> int | None:
    """The size of a complete file; None where there is none."""
    stat = _store(uri).stat(uri)
    return stat.num_bytes if stat else None


def stat(uri: str) -> StoredFile | None:
    """A complete file's size, and the checksums that are known without reading it; None where there is no file."""
    return _store(uri).stat(uri)


def stored_crc32c(uri: str) -> str:
    """The CRC-32C of a complete file: read where nothing else knows it.

    Raises:
        FileNotFoundError: If there is none.
    """
    stat = _store(uri).stat(uri)
    if stat and stat.crc32c:
        return stat.crc32c
    return file_crc32c(Path(uri)) if is_local(uri) else crc32c(read_bytes(uri))


def with_checksums(uri: str, file: StoredFile) -> StoredFile:
    """Both checksums of a stored file: read where they are not known."""
    if file.crc32c and file.crc32:
        return file
    data = read_bytes(uri)
    return StoredFile(len(data), crc32c(data), crc32(data))


def modified_s(uri: str) -> float:
    """When a file was published, in seconds since 1970.

    Raises:
        FileNotFoundError: If there is none.
    """
    return _store(uri).modified_s(uri)


def list_files(uri: str, is_deep: bool = False) -> dict[str, StoredFile]:
    """The complete files directly below a folder, by name: one question for many `stat`s.

    Args:
        uri: The folder.
        is_deep: List the files in folders below it too, by their paths from there.
    """
    return _store(uri).list_files(uri, is_deep)


def list_names(uri: str) -> list[str]:
    """Lists the names directly below a folder, sorted; none where the folder does not exist. Unfinished files are left out."""
    return _store(uri).list_names(uri)


def list_tree(uri: str) -> list[str]:
    """Lists the files anywhere below a folder, relative to it, sorted. Unfinished files are left out."""
    return _store(uri).list_tree(uri)


def read_bytes(uri: str) -> bytes:
    """Reads a whole file."""
    return _store(uri).read(uri, 0, None)


def read_range(uri: str, start: int, length: int) -> bytes:
    """Reads a part of a file: `length` bytes, or what there is."""
    return _store(uri).read(uri, start, length)


def create(uri: str) -> contextlib.AbstractContextManager[Path]:
    """Gives a local path to write, and publishes what was written there as `uri` on a clean exit.

    The file appears under its final name at once and whole, or not at all: also after a kill or on a full disk.

    Raises:
        FileExistsError: If `uri` exists already. What exists is never overwritten.
    """
    return _store(uri).create(uri)


def write_bytes(uri: str, data: bytes, crc32: str = "", sync: bool = True) -> bool:
    """Publishes a small file, create-only, and says whether it was this call that wrote it.

    Args:
        uri: Its name.
        data: Its content.
        crc32: Its CRC-32, if known: an object store keeps it beside the file, and `stat` gives it back.
        sync: Whether it must survive a power cut from now on; or else only after `sync`, and may be found cut off before.

    Raises:
        FileExistsError: If `uri` exists already with other content.
    """
    try:
        _store(uri).write(uri, data, crc32, sync)
    except FileExistsError:
        _refuse_other_content(uri, crc32c(data))
        return False
    return True


def sync(uri: str) -> None:
    """Returns when all that was written to the store of `uri` would survive a power cut."""
    _store(uri).sync()


def store(path: Path, uri: str) -> None:
    """Publishes a copy of a local file, create-only.

    Raises:
        FileExistsError: If `uri` exists already with other content.
    """
    try:
        _store(uri).store(path, uri)
    except FileExistsError:
        _refuse_other_content(uri, file_crc32c(path))


def _refuse_other_content(uri: str, expected_crc32c: str) -> None:
    if stored_crc32c(uri) != expected_crc32c:
        raise FileExistsError(f"{uri} exists already with other content; nothing was overwritten") from None


def replace_bytes(uri: str, data: bytes) -> None:
    """Swaps the content of a pointer file: a reader sees the old content or the new, never a mixture."""
    _store(uri).replace(uri, data)


def read_with_generation(uri: str) -> tuple[bytes, str] | None:
    """Reads a pointer file, and its generation: opaque text that identifies its present content. None where there is none."""
    return _store(uri).read_with_generation(uri)


def swap(uri: str, data: bytes, generation: str) -> None:
    """Swaps the content of a pointer file if nobody else has done so since it was read: compare-and-swap.

    Args:
        uri: The file.
        data: Its new content. It must not be one that the file has had before, which on a local disk has the same generation.
        generation: As `read_with_generation` gave it; empty where there was no file.

    Raises:
        SwappedMeanwhileError: If the file has other content by now. It is left as it is.
    """
    if _store(uri).swap(uri, data, generation):
        return
    found, now = read_with_generation(uri) or (b"", "")
    if found != data:  # else it was done, but the answer was lost and the same was asked again
        raise SwappedMeanwhileError(
            f"{uri}: somebody else has swapped it meanwhile: expected generation {generation or 'of no file'}. "
            f"Received: {now or 'no file'}"
        )


def create_tree(folder: Path, uri: str) -> None:
    """Publishes every file below a local folder under `uri`, which nobody else writes to.

    There is no done-mark among them: publish what refers to the tree afterwards.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for_each(lambda path: store(path, join(uri, path.relative_to(folder).as_posix())), files)


def sweep(uri: str) -> None:
    """Removes what killed processes have left unfinished in a folder; so does the first file that is written there."""
    _store(uri).sweep(uri)


def remove(uri: str) -> None:
    """Removes a file, if it is there."""
    _store(uri).remove(uri)


def remove_tree(uri: str) -> None:
    """Removes everything below `uri`; nothing happens where there is nothing."""
    _store(uri).remove_tree(uri)


def fetch_tree(uri: str, folder: Path) -> None:
    """Gives everything below `uri` to a local folder that may exist already. What lies there is not to be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    for_each(lambda name: _fetch(join(uri, name), folder / name, may_link=True), _store(uri).list_tree(uri))


def fetch(uri: str, path: Path) -> None:
    """Copies one file to a local path whose folder may not exist yet."""
    _fetch(uri, path, may_link=False)


def _fetch(uri: str, path: Path, may_link: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _store(uri).fetch(uri, path, may_link)


def for_each(act: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    """Does something with many files at once, to hide the time that an object store takes to answer."""
    with ThreadPoolExecutor(_IN_FLIGHT) as pool:
        list(pool.map(act, items))
