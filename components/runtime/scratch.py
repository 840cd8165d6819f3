"""Temporary folders, each locked while in use: the next run removes those of killed processes.

The kernel frees a lock however its process ends, also across containers that share a disk.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOCK = "lock"
"""The file that a process locks in its place."""

SPOOL = "spool"
"""The private folder of `components.ingest.archive.spool`: after a kill, the next run resumes from its content."""

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Place:
    """A folder that no process removes while this one holds its lock."""

    path: Path
    _lock: int

    def remove(self) -> None:
        """Removes the folder, and the one above if it is empty."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        with contextlib.suppress(OSError):  # another process still has its place beside it
            self.path.parent.rmdir()


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder below TMPDIR. It is removed at the end or, after a kill, by the next run.

    Raises:
        PermissionError: If another user created its parent folder.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty folder
            place = make_place(private_folder(_SCRATCH))
            break
    try:
        folder = place.path / "files"
        folder.mkdir()
        yield folder
    finally:
        place.remove()


@contextlib.contextmanager
def scratch_for_libraries() -> Iterator[None]:
    """Makes a scratch folder the temporary folder of libraries and of child processes."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with scratch_folder() as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir, variable = before
            if variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = variable


def private_folder(name: str) -> Path:
    """Creates a folder below TMPDIR that belongs to this user and is closed to others.

    Raises:
        PermissionError: If a folder of that name is not.
    """
    folder = private_path(name)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{folder}: expected a folder of the user {os.getuid()} that is closed to others. "
            f"Received: {stat.filemode(found.st_mode)} of the user {found.st_uid}. Remove it, or set TMPDIR to another folder"
        )
    return folder


def private_path(name: str) -> Path:
    """The path of the folder that `private_folder` creates."""
    return Path(tempfile.gettempdir()) / f"hpa-pipeline-{name}-{os.getuid()}"


def make_place(places: Path) -> Place:
    """Creates a place in a folder, and removes those of killed processes.

    Raises:
        FileNotFoundError: If another process removes the folder in the meantime.
    """
    sweep(places)
    while True:
        path = places / f"{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir()
        # Until the lock is held, another process may remove the new place as an abandoned one: then try again.
        with contextlib.suppress(FileNotFoundError):
            lock = open_lock(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (path / LOCK).exists():
                return Place(path, lock)
            os.close(lock)


def find_left() -> list[Path]:
    """The places below TMPDIR of this user's killed processes, including those that the next run resumes from."""
    return [place for name in (_SCRATCH, SPOOL) for place in find_abandoned(private_path(name))]


def find_abandoned(places: Path) -> list[Path]:
    """The places in a folder whose lock no process holds."""
    found = []
    with contextlib.suppress(OSError):  # there is no such folder, or it is another user's
        for place in sorted(places.iterdir()):
            if (lock := _lock_if_free(place)) is not None:
                os.close(lock)
                found.append(place)
    return found


def remove_abandoned(place: Path) -> None:
    """Removes a place whose lock no process holds, and the folder above if it is empty."""
    if (lock := _lock_if_free(place)) is not None:
        Place(place, lock).remove()


def sweep(places: Path) -> None:
    """Removes the places in a folder whose lock no process holds."""
    with contextlib.suppress(OSError):
        for place in list(places.iterdir()):
            remove_abandoned(place)


def sweep_scratch() -> None:
    """Removes what this user's killed processes left below TMPDIR. `scratch_folder` does so, too."""
    sweep(private_path(_SCRATCH))


def open_lock(place: Path) -> int:
    """Opens the lock of a place, and creates it if a killed process had not done so yet or had already removed it.

    Raises:
        FileNotFoundError: If there is no such place.
    """
    return os.open(place / LOCK, os.O_CREAT | os.O_RDWR, 0o600)


def _lock_if_free(place: Path) -> int | None:
    try:
        descriptor = open_lock(place)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
