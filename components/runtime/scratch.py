"""Temporary folders, each locked while it is in use: the next run removes what a killed process has left.

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
"""The file in a place that is locked by the process that uses it."""

SPOOL = "spool"
"""The private folder of `components.ingest.archive.spool`: a kill leaves there what the next run carries on from."""

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Place:
    """A folder that nobody sweeps as long as this process holds its lock."""

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
    """Gives an empty folder below TMPDIR, which is removed at the end; after a kill, by the next run.

    Raises:
        PermissionError: If another user has made the folder in which it should be.
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
    """Makes a scratch folder the temporary folder of libraries, and of processes that are started in the meantime."""
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
    """Makes a folder below TMPDIR that only this user can have made and can look into.

    Raises:
        PermissionError: If there is one of that name that is not.
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
    """Where `private_folder` makes a folder."""
    return Path(tempfile.gettempdir()) / f"hpa-pipeline-{name}-{os.getuid()}"


def make_place(places: Path) -> Place:
    """Makes a place in a folder, and removes the places that killed processes have left there.

    Raises:
        FileNotFoundError: If somebody else removes the folder meanwhile.
    """
    sweep(places)
    while True:
        path = places / f"{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir()
        # Until the lock is held, another process may take the new place for an abandoned one: then there is another try.
        with contextlib.suppress(FileNotFoundError):
            lock = open_lock(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (path / LOCK).exists():
                return Place(path, lock)
            os.close(lock)


def find_left() -> list[Path]:
    """The places below TMPDIR that killed processes of this user have left, also those that the next run carries on from."""
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
    """Removes what killed processes of this user have left below TMPDIR. So does `scratch_folder`."""
    sweep(private_path(_SCRATCH))


def open_lock(place: Path) -> int:
    """Opens the lock of a place; it is created, as a process may have been killed before it was or while it removed the place.

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
