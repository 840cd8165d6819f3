"""Folders that appear under their final names only when they are whole, as far as a store can do that.

TensorFlow Serving takes the folder with the highest number, whether or not all of it is there.
"""

import contextlib
import importlib
from typing import Protocol

from components import storage


class _Folders(Protocol):
    def incoming(self, uri: str) -> contextlib.AbstractContextManager[str]: ...

    def move(self, incoming_uri: str, uri: str, first: str, last: str) -> None: ...

    def remove(self, uri: str, first: str) -> None: ...


def _folders(uri: str) -> _Folders:
    # Who works on local files need not wait until the client of the object store is loaded.
    found: _Folders = importlib.import_module(f"components.storage.{'local' if storage.is_local(uri) else 'gcs'}_folders")
    return found


# In an object store, folders that are not whole have such names. On a local disk, they lie where `storage.sweep` sweeps.
INCOMING = ".incoming-"


def incoming(uri: str) -> contextlib.AbstractContextManager[str]:
    """Gives a new, empty folder below `uri`, whose name is no number: for what `move` shall give a name when it is whole.

    What has not been moved is removed at the end.
    """
    return _folders(uri).incoming(uri)


def move(incoming_uri: str, uri: str, first: str, last: str) -> None:
    """Gives a folder that `incoming` gave its final name, create-only.

    On a local disk it is there at once, and whole. An object store has no folders that could be renamed: its server copies one
    file after the other, within a second or two, and a kill in between leaves a part.

    Args:
        incoming_uri: The folder.
        uri: Its final name.
        first: The file that an object store copies first. Of two at once, it gives the name to one.
        last: The file that it copies last: without it, the folder is not whole.

    Raises:
        FileExistsError: If the name is taken.
    """
    _folders(uri).move(incoming_uri, uri, first, last)


def remove(uri: str, first: str) -> None:
    """Removes a folder: on a local disk at once, in an object store the file `first` before all others."""
    _folders(uri).remove(uri, first)
