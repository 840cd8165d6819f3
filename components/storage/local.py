"""Files in folders of this machine."""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from multiprocessing.util import Finalize
from pathlib import Path

from components.runtime.full_disk import NO_ROOM
from components.runtime.scratch import find_abandoned, make_place, sweep
from components.storage.checksums import file_crc32c
from components.storage.store import Store, StoredFile, local_name

_PARTIAL = ".partial"
# How file systems say that they have no hard links.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
# How the system says that there is no file of a name.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# Writing a file without waiting for the disk keeps a core busy: more threads than cores would only contend.
_unsynced_writers = threading.BoundedSemaphore(os.cpu_count() or 1)


class LocalStore(Store):
    """Files in folders of this machine. Unfinished files lie in `.partial` beside the final names, and are never listed."""

    def stat(self, uri: str) -> StoredFile | None:
        """A file system keeps no checksums."""
        return _stored_file(uri)

    def modified_s(self, uri: str) -> float:
        return Path(uri).stat().st_mtime

    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        found: dict[str, StoredFile] = {}
        if is_deep:
            for folder, folders, names in os.walk(uri):  # it skips what is removed at this moment
                folders[:] = [name for name in folders if name != _PARTIAL]
                for path in (Path(folder, name) for name in names):
                    if file := _stored_file(path):
                        found[path.relative_to(uri).as_posix()] = file
        else:
            with contextlib.suppress(FileNotFoundError), os.scandir(uri) as entries:
                found = {entry.name: file for entry in entries if (file := _stored_file(entry.path))}
        return dict(sorted(found.items()))

    def list_names(self, uri: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in Path(uri).iterdir() if path.name != _PARTIAL)
        return []

    def read(self, uri: str, start: int = 0, length: int | None = None) -> bytes:
        with Path(uri).open("rb") as file:
            file.seek(start)
            return file.read() if length is None else file.read(length)

    def read_with_generation(self, uri: str) -> tuple[bytes, str] | None:
        """The generation is the hash of the content."""
        try:
            content = Path(uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError):  # there is no file below a file, as in an object store
            return None
        return content, hashlib.sha256(content).hexdigest()

    def crc32c(self, uri: str) -> str:
        return file_crc32c(Path(uri))

    def fetch(self, uri: str, path: Path, may_link: bool) -> None:
        path.unlink(missing_ok=True)
        if may_link:
            with contextlib.suppress(OSError):  # another file system, or one without hard links
                os.link(uri, path)
                return
        with _naming(path):
            shutil.copyfile(uri, path)

    @contextlib.contextmanager
    def unfinished(self, uri: str) -> Iterator[Path]:
        """The file is in the final folder's file system; after a kill it is deleted later."""
        final = Path(uri)
        partial = _own_place(final.parent) / f"{secrets.token_hex(4)}.{local_name(uri)}"
        try:
            with _naming(final):
                yield partial
        finally:
            partial.unlink(missing_ok=True)

    def write(self, uri: str, data: bytes, crc32: str, sync: bool) -> None:
        if not sync:  # one of very many files
            with _unsynced_writers:
                if _write_unnamed(Path(uri), data):
                    return
        with self.unfinished(uri) as partial:
            partial.write_bytes(data)
            if sync:
                _sync(partial)
            _link(partial, Path(uri))

    def upload(self, path: Path, uri: str, may_move: bool) -> None:
        if may_move:
            _sync(path)
            _link(path, Path(uri))
            return
        with self.unfinished(uri) as partial:
            shutil.copyfile(path, partial)
            self.upload(partial, uri, may_move=True)

    def copy(self, source_uri: str, uri: str) -> None:
        self.upload(Path(source_uri), uri, may_move=False)

    def swap(self, uri: str, data: bytes, generation: str) -> None:
        final = Path(uri)
        final.parent.mkdir(parents=True, exist_ok=True)
        # The lock file stays: removing it could pull it from under a process that has just opened it.
        with final.with_name(f".{final.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _, found = self.read_with_generation(uri) or (b"", "")
            if found != generation:
                raise FileExistsError(f"{uri} has another generation; nothing was overwritten")
            self.replace(uri, data)

    def replace(self, uri: str, data: bytes) -> None:
        with self.unfinished(uri) as partial:
            partial.write_bytes(data)
            _sync(partial)
            partial.replace(uri)

    def remove(self, uri: str) -> None:
        Path(uri).unlink(missing_ok=True)

    def remove_tree(self, uri: str) -> None:
        shutil.rmtree(uri, ignore_errors=True)

    def sync(self) -> None:
        os.sync()

    def sweep(self, uri: str) -> None:
        sweep(Path(uri) / _PARTIAL)
        with contextlib.suppress(OSError):  # there is no such folder, or a process is at work in it
            (Path(uri) / _PARTIAL).rmdir()

    def find_unfinished(self, uri: str) -> list[Path]:
        places = [Path(folder, _PARTIAL) for folder, folders, _ in os.walk(uri) if _PARTIAL in folders]
        return [path for folder in places for path in find_abandoned(folder)]

    @contextlib.contextmanager
    def incoming_folder(self, uri: str) -> Iterator[str]:
        """After a kill the folder is swept."""
        folder = _own_place(Path(uri)) / secrets.token_hex(4)
        folder.mkdir()
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move_folder(self, incoming_uri: str, uri: str, first: str, last: str) -> None:
        """A rename, which fails if the name is taken by anything but an empty folder."""
        try:
            os.rename(incoming_uri, uri)  # noqa: PTH104
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), uri) from None

    def remove_folder(self, uri: str, first: str, last: str) -> None:
        """The folder is renamed to where nobody looks, and removed there."""
        with self.incoming_folder(str(Path(uri).parent)) as folder, contextlib.suppress(FileNotFoundError):
            os.rename(uri, folder)  # noqa: PTH104


@contextlib.contextmanager
def _naming(final: Path) -> Iterator[None]:
    """Names the file that there was no room for: a full disk names none, and a copy the file that is copied."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM or (error.errno and error.filename is None):
            raise OSError(error.errno, error.strerror, str(final)) from None
        raise


def _stored_file(path: str | Path) -> StoredFile | None:
    """A file's size; None for a folder, a link that leads nowhere or in circles, and what is removed at this moment."""
    try:
        status = os.stat(path)  # noqa: PTH116 (for strings too: a folder may hold hundreds of thousands of files)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None
    return StoredFile(status.st_size, version=str(status.st_mtime_ns)) if stat.S_ISREG(status.st_mode) else None


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
        with _naming(final):
            raise
    finally:
        os.close(descriptor)
    return True


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


def _own_place(folder: Path) -> Path:
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
    """Makes a place that is locked for as long as the process lives."""
    while True:
        places.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty folder
            place = make_place(places)
            break
    # Unlike atexit, this also runs at the end of multiprocessing's worker processes.
    Finalize(None, place.remove, exitpriority=0)
    return place.path
