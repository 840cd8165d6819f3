"""Files on this machine."""

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
# The errors of file systems without hard links.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
# The errors for a name without a file.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# Writing without waiting for the disk keeps a core busy, so more threads than cores would only contend.
_unsynced_writers = threading.BoundedSemaphore(os.cpu_count() or 1)


class LocalStore(Store):
    """Files on this machine. Unfinished files are in `.partial` beside the final names and are never listed."""

    def stat(self, uri: str) -> StoredFile | None:
        """Without checksums, which file systems do not keep."""
        return _stored_file(uri)

    def modified_s(self, uri: str) -> float:
        return Path(uri).stat().st_mtime

    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        found: dict[str, StoredFile] = {}
        if is_deep:
            for folder, folders, names in os.walk(uri):  # skips what is removed concurrently
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
        except (FileNotFoundError, NotADirectoryError):  # no file below a file: no error, as in object stores
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
        """The file is on the file system of the final folder. A later write deletes it after a kill."""
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
        # The lock file is kept, because another process may just have opened it.
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
        with contextlib.suppress(OSError):  # no such folder, or still in use
            (Path(uri) / _PARTIAL).rmdir()

    def find_unfinished(self, uri: str) -> list[Path]:
        places = [Path(folder, _PARTIAL) for folder, folders, _ in os.walk(uri) if _PARTIAL in folders]
        return [path for folder in places for path in find_abandoned(folder)]

    @contextlib.contextmanager
    def incoming_folder(self, uri: str) -> Iterator[str]:
        """`sweep` removes the folder after a kill."""
        folder = _own_place(Path(uri)) / secrets.token_hex(4)
        folder.mkdir()
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def move_folder(self, incoming_uri: str, uri: str, first: str, last: str) -> None:
        """Renames the folder; fails if the name is taken by anything but an empty folder."""
        try:
            os.rename(incoming_uri, uri)  # noqa: PTH104
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), uri) from None

    def remove_folder(self, uri: str, first: str, last: str) -> None:
        """Renames the folder to a hidden name first, so that it disappears atomically."""
        with self.incoming_folder(str(Path(uri).parent)) as folder, contextlib.suppress(FileNotFoundError):
            os.rename(uri, folder)  # noqa: PTH104


@contextlib.contextmanager
def _naming(final: Path) -> Iterator[None]:
    """Names the file being written in errors: those of a full disk name none, and those of a copy may name the source."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM or (error.errno and error.filename is None):
            raise OSError(error.errno, error.strerror, str(final)) from None
        raise


def _stored_file(path: str | Path) -> StoredFile | None:
    """A file's size; None for a folder, a broken or circular link, or a file that is removed concurrently."""
    try:
        status = os.stat(path)  # noqa: PTH116 (a Path for each of hundreds of thousands of files is slow)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        return None
    return StoredFile(status.st_size, version=str(status.st_mtime_ns)) if stat.S_ISREG(status.st_mode) else None


def _write_unnamed(final: Path, data: bytes) -> bool:
    """Writes a file that has no name until it is complete, in half the time that a temporary name takes.

    Returns:
        False if this is impossible: some systems and file systems lack such files, and the folder must exist.
    """
    try:
        descriptor = os.open(final.parent, os.O_WRONLY | os.O_TMPFILE, 0o666)
    except (OSError, AttributeError):
        return False
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        # With src_dir_fd, Python follows the link in /proc. The path is absolute, so the descriptor has no other effect.
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
    """Links a finished file to its final name, which must be free: the local equivalent of a create-only upload."""
    try:
        os.link(partial, final)
    except OSError as error:
        # Some file systems (exFAT, some network and container mounts) have no hard links. A rename is atomic there too, but
        # the check that the name is free precedes it.
        if error.errno not in _NO_HARD_LINKS:
            raise
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        partial.rename(final)


# The folders of this process's unfinished files, by the folders of their final names.
_own_places: dict[Path, Path] = {}
_own_places_lock = threading.Lock()


def _own_place(folder: Path) -> Path:
    """This process's folder for unfinished files, beside the final names. `sweep` removes it after a kill."""
    if own := next((parent for parent in folder.parents if parent.parent.name == _PARTIAL), None):
        folder.mkdir(parents=True, exist_ok=True)  # inside an unfinished folder
        return own
    with _own_places_lock:
        own = _own_places.get(folder)
        if own is None or not own.is_dir():  # the folder may have been removed since
            own = _own_places[folder] = _make_own_place(folder / _PARTIAL)
        return own


def _make_own_place(places: Path) -> Path:
    """Creates a folder that is locked as long as the process lives."""
    while True:
        places.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty folder
            place = make_place(places)
            break
    # Unlike atexit, this also runs at the end of multiprocessing's worker processes.
    Finalize(None, place.remove, exitpriority=0)
    return place.path
