"""Folders on this machine: see `components.storage.folders`."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from components.storage import local as local_storage


@contextlib.contextmanager
def incoming(uri: str) -> Iterator[str]:
    """Gives a new folder in this process's place for what is unfinished: a kill leaves it to be swept."""
    folder = local_storage.own_place(Path(uri)) / secrets.token_hex(4)
    folder.mkdir()
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move(incoming_uri: str, uri: str, first: str, last: str) -> None:
    """Renames it."""
    try:
        os.rename(incoming_uri, uri)  # noqa: PTH104 (it fails where there is anything of this name, but for an empty folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), uri) from None


def remove(uri: str, first: str) -> None:
    """Renames it to where nobody looks, and removes it there."""
    with incoming(str(Path(uri).parent)) as folder, contextlib.suppress(FileNotFoundError):
        os.rename(uri, folder)  # noqa: PTH104
