"""The one way in which steps read and write bulk data: whole files, published under their final name only when complete.

A URI is a folder or file path. (`gs://` addresses are refused until the object-store back end exists.)
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

import google_crc32c

_PARTIAL = ".partial"
_LOCK = "lock"
_CHUNK_BYTES = 1 << 20


def to_path(uri: str) -> Path:
    """Turns a URI into a local path.

    Raises:
        ValueError: If the URI has a scheme that no back end serves.
    """
    if "://" in uri:
        raise ValueError(f"Only local folders can be read and written: expected a path. Received: {uri}")
    return Path(uri)


def join(uri: str, *parts: str) -> str:
    """Appends path parts to a URI."""
    return "/".join((uri.rstrip("/"), *parts))


def exists(uri: str) -> bool:
    """Says whether a complete file has this name."""
    return to_path(uri).is_file()


def size_bytes(uri: str) -> int | None:
    """The size of a complete file; None where there is none."""
    path = to_path(uri)
    return path.stat().st_size if path.is_file() else None


def read_bytes(uri: str) -> bytes:
    """Reads a whole file."""
    return to_path(uri).read_bytes()


def list_names(uri: str) -> list[str]:
    """Lists the names directly below a folder, sorted; none where the folder does not exist. Unfinished files are left out."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in to_path(uri).iterdir() if path.name != _PARTIAL)
    return []


def crc32c(data: bytes) -> str:
    """The CRC-32C of some bytes, as 8 hexadecimal digits: the checksum that Google Cloud Storage keeps of every object."""
    return f"{google_crc32c.value(data):08x}"


def file_crc32c(path: Path) -> str:
    """The CRC-32C of a local file, read in pieces."""
    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.digest().hex()


@contextlib.contextmanager
def create(uri: str) -> Iterator[Path]:
    """Gives a local path to write, and publishes what was written there as `uri` on a clean exit.

    The file appears under its final name at once and whole, or not at all: also after a kill or on a full disk.

    Raises:
        FileExistsError: If `uri` exists already. What exists is never overwritten.
    """
    final = to_path(uri)
    # The end of the name is kept, as some writers choose the format by it; a file system may allow no more than 255 bytes.
    partial = _partial_dir(final.parent) / f"{secrets.token_hex(4)}.{final.name[-40:]}"
    try:
        yield partial
        _sync(partial)
        _link(partial, final)
    except OSError as error:
        if error.errno and error.filename is None:  # a full disk does not say which file it had no room for
            error.filename = str(final)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(uri: str, data: bytes) -> bool:
    """Publishes a small file, create-only, and says whether it was this call that wrote it.

    Raises:
        FileExistsError: If `uri` exists already with other content.
    """
    try:
        with create(uri) as path:
            path.write_bytes(data)
    except FileExistsError:
        if read_bytes(uri) != data:
            raise FileExistsError(f"{uri} exists already with other content; nothing was overwritten") from None
        return False
    return True


def store(path: Path, uri: str) -> None:
    """Publishes a copy of a local file, create-only.

    Raises:
        FileExistsError: If `uri` exists already with other content.
    """
    try:
        with create(uri) as partial:
            shutil.copyfile(path, partial)
    except FileExistsError:
        if file_crc32c(to_path(uri)) != file_crc32c(path):
            raise FileExistsError(f"{uri} exists already with other content; nothing was overwritten") from None


def replace_bytes(uri: str, data: bytes) -> None:
    """Swaps the content of a pointer file: a reader sees the old content or the new, never a mixture."""
    final = to_path(uri)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{secrets.token_hex(4)}.{final.name}")
    try:
        partial.write_bytes(data)
        _sync(partial)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def create_tree(folder: Path, uri: str) -> None:
    """Publishes every file below a local folder under `uri`, which nobody else writes to.

    There is no done-mark among them: publish what refers to the tree afterwards.
    """
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        store(source, join(uri, source.relative_to(folder).as_posix()))


def remove_tree(uri: str) -> None:
    """Removes everything below `uri`; nothing happens where there is nothing."""
    shutil.rmtree(to_path(uri), ignore_errors=True)


def fetch_tree(uri: str, folder: Path) -> None:
    """Copies everything below `uri` to a local folder that may exist already."""
    source = to_path(uri)
    shutil.copytree(source, folder, copy_function=_link_or_copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_PARTIAL))


def fetch(uri: str, path: Path) -> None:
    """Copies one file to a local path whose folder may not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(to_path(uri), path)


def _link_or_copy(source: str, target: str) -> None:
    """Published files never change, so that on one file system a second name for them is as good as a copy."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _link(partial: Path, final: Path) -> None:
    """Gives a finished file its final name, which must be free: the local form of a create-only upload."""
    try:
        os.link(partial, final)
    except OSError as error:
        # Some file systems (exFAT, some network and container mounts) have no hard links: a rename is atomic there too,
        # but the check that the name is free comes a moment before it.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES):
            raise
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        partial.rename(final)


# Where this process writes its unfinished files, by the folder of their final names.
_own_places: dict[Path, Path] = {}


def _partial_dir(folder: Path) -> Path:
    """This process's place for unfinished files beside their final names."""
    own = _own_places.get(folder)
    if own is None or not own.is_dir():  # the folder may have been removed since, and may be wanted again
        own = _own_places[folder] = _make_own_place(folder / _PARTIAL)
    return own


def _make_own_place(places: Path) -> Path:
    """Makes a place that is locked for as long as the process lives.

    Another process's place whose lock is free was left by a kill: it is removed.
    """
    for name in list_names(str(places)):
        _remove_if_abandoned(places / name)
    while True:
        own = places / f"{os.getpid()}-{secrets.token_hex(4)}"
        # Until the lock is held, another process may take the new place for an abandoned one: then there is another try.
        with contextlib.suppress(FileNotFoundError):
            own.mkdir(parents=True)
            descriptor = os.open(own / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (own / _LOCK).exists():
                break
            os.close(descriptor)
    # Unlike atexit, this also runs at the end of multiprocessing's worker processes.
    Finalize(None, _remove_own_place, (own,), exitpriority=0)
    return own


def _remove_if_abandoned(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.rmdir()  # works on an empty one: its process was killed before it had a lock
    with contextlib.suppress(OSError), (place / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)


def _remove_own_place(own: Path) -> None:
    shutil.rmtree(own, ignore_errors=True)
    with contextlib.suppress(OSError):  # another process still has its place beside it
        own.parent.rmdir()
