"""Bulk data in folders of this machine: see `components.storage`."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

from components.storage.store import StoredFile

_PARTIAL = ".partial"
# How file systems say that they have no hard links.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
_LOCK = "lock"
# Writing a file that the disk need not have yet is a core's work: more threads than cores would only get in each other's way.
_unsynced_writers = threading.BoundedSemaphore(os.cpu_count() or 1)


def stat(uri: str) -> StoredFile | None:
    """A complete file's size; None where there is no file. Its checksums are known to nobody."""
    path = Path(uri)
    return StoredFile(path.stat().st_size) if path.is_file() else None


def modified_s(uri: str) -> float:
    """When a file was published, in seconds since 1970."""
    return Path(uri).stat().st_mtime


def list_files(uri: str, is_deep: bool = False) -> dict[str, StoredFile]:
    """The files directly below a folder, by name; or anywhere below it, by their paths from there."""
    if is_deep:
        return {name: StoredFile(Path(uri, name).stat().st_size) for name in list_tree(uri) if Path(uri, name).is_file()}
    with contextlib.suppress(FileNotFoundError), os.scandir(uri) as entries:
        return {entry.name: StoredFile(entry.stat().st_size) for entry in entries if _is_file(entry)}
    return {}


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in circles
        return False


def list_names(uri: str) -> list[str]:
    """The names directly below a folder, sorted; none where the folder does not exist. Unfinished files are left out."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in Path(uri).iterdir() if path.name != _PARTIAL)
    return []


def list_tree(uri: str) -> list[str]:
    """The files anywhere below a folder, relative to it, sorted. Unfinished files are left out."""
    found: list[str] = []
    for folder, folders, names in os.walk(uri):  # it leaves out what somebody removes at this moment
        folders[:] = [name for name in folders if name != _PARTIAL]
        found += [Path(folder, name).relative_to(uri).as_posix() for name in names]
    return sorted(found)


def read(uri: str, start: int, length: int | None) -> bytes:
    """Reads a part of a file: all from `start` on where `length` is None."""
    with Path(uri).open("rb") as file:
        file.seek(start)
        return file.read() if length is None else file.read(length)


def create(uri: str) -> contextlib.AbstractContextManager[Path]:
    """Gives a local path to write, and publishes what was written there as `uri` on a clean exit.

    The file appears under its final name at once and whole, or not at all: also after a kill or on a full disk.

    Raises:
        FileExistsError: If `uri` exists already. What exists is never overwritten.
    """
    return _creating(uri, sync=True)


@contextlib.contextmanager
def _creating(uri: str, sync: bool) -> Iterator[Path]:
    final = Path(uri)
    # The end of the name is kept, as some writers choose the format by it; a file system may allow no more than 255 bytes.
    partial = own_place(final.parent) / f"{secrets.token_hex(4)}.{final.name[-40:]}"
    try:
        yield partial
        if sync:
            _sync(partial)
        _link(partial, final)
    except OSError as error:
        if error.errno and error.filename is None:  # a full disk does not say which file it had no room for
            error.filename = str(final)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write(uri: str, data: bytes, crc32: str, sync: bool) -> None:
    """Publishes a file, create-only.

    Raises:
        FileExistsError: If `uri` exists already.
    """
    # What need not be safe yet is one of very many files.
    if not sync:
        with _unsynced_writers:
            if _write_unnamed(Path(uri), data):
                return
    with _creating(uri, sync) as path:
        path.write_bytes(data)


def _write_unnamed(final: Path, data: bytes) -> bool:
    """Writes a file that has no name until it is complete, in half the time that two names take.

    Returns:
        Whether that was possible: some systems and file systems have no such files, and the folder must exist.
    """
    try:
        descriptor = os.open(final.parent, os.O_WRONLY | os.O_TMPFILE, 0o666)
    except (OSError, AttributeError):
        return False
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        # Given a folder, Python follows the link that /proc has in place of the file; the path is absolute all the same.
        os.link(f"/proc/self/fd/{descriptor}", final, src_dir_fd=descriptor)
    except OSError as error:
        if error.errno in (*_NO_HARD_LINKS, errno.ENOENT, errno.EXDEV):  # or no /proc
            return False
        if error.errno and error.filename is None:  # a full disk does not say which file it had no room for
            error.filename = str(final)
        raise
    finally:
        os.close(descriptor)
    return True


def sync() -> None:
    """Returns when all that was written would survive a power cut."""
    os.sync()


def store(path: Path, uri: str) -> None:
    """Publishes a copy of a local file, create-only.

    Raises:
        FileExistsError: If `uri` exists already.
    """
    with create(uri) as partial:
        shutil.copyfile(path, partial)


def replace(uri: str, data: bytes) -> None:
    """Swaps the content of a pointer file: a reader sees the old content or the new, never a mixture."""
    final = Path(uri)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{secrets.token_hex(4)}.{final.name}")
    try:
        partial.write_bytes(data)
        _sync(partial)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def read_with_generation(uri: str) -> tuple[bytes, str] | None:
    """Reads a pointer file, and the hash of its content; None where there is no file."""
    try:
        content = Path(uri).read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # below a file there is no file, as on an object store
        return None
    return content, hashlib.sha256(content).hexdigest()


def swap(uri: str, data: bytes, generation: str) -> bool:
    """Swaps a pointer file's content if its generation is still this one, and says whether it was."""
    final = Path(uri)
    final.parent.mkdir(parents=True, exist_ok=True)
    # The lock stays: who removed it could take it away from somebody who has just opened it.
    with final.with_name(f".{final.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, found = read_with_generation(uri) or (b"", "")
        if found != generation:
            return False
        partial = final.with_name(f".{final.name}.new")  # one name for all: what a kill leaves is overwritten
        partial.write_bytes(data)
        _sync(partial)
        partial.replace(final)
    return True


def sweep(uri: str) -> None:
    """Removes what killed processes have left unfinished in a folder."""
    places = Path(uri) / _PARTIAL
    for name in list_names(str(places)):
        _remove_if_abandoned(places / name)
    with contextlib.suppress(OSError):  # there is none, or a process is at work
        places.rmdir()


def remove(uri: str) -> None:
    """Removes a file, if it is there."""
    Path(uri).unlink(missing_ok=True)


def remove_tree(uri: str) -> None:
    """Removes everything below `uri`; nothing happens where there is nothing."""
    shutil.rmtree(uri, ignore_errors=True)


def fetch(uri: str, path: Path, may_link: bool) -> None:
    """Puts a copy of a file in place of a local path; or another name for it, if `may_link`: a model is large."""
    path.unlink(missing_ok=True)
    if may_link:
        with contextlib.suppress(OSError):  # another file system, or one that has no hard links
            os.link(uri, path)
            return
    shutil.copyfile(uri, path)


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
        if error.errno not in _NO_HARD_LINKS:
            raise
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        partial.rename(final)


# Where this process writes its unfinished files, by the folder of their final names.
_own_places: dict[Path, Path] = {}
_own_places_lock = threading.Lock()


def own_place(folder: Path) -> Path:
    """This process's place for what is unfinished, beside the final names; a kill leaves it to be swept."""
    if own := next((parent for parent in folder.parents if parent.parent.name == _PARTIAL), None):
        folder.mkdir(parents=True, exist_ok=True)  # a part of what is unfinished itself
        return own
    with _own_places_lock:
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
