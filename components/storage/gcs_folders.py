"""Prefixes in Google Cloud Storage: see `components.storage.folders`."""

import contextlib
import secrets
from collections.abc import Iterator

from components import storage
from components.storage import gcs as gcs_storage
from components.storage.folders import INCOMING


@contextlib.contextmanager
def incoming(uri: str) -> Iterator[str]:
    """Gives a prefix of a random name."""
    prefix = storage.join(uri, f"{INCOMING}{secrets.token_hex(4)}")
    try:
        yield prefix
    finally:
        gcs_storage.remove_tree(prefix)


def move(incoming_uri: str, uri: str, first: str, last: str) -> None:
    """Copies the objects, without moving their bytes through this machine."""
    others = [name for name in gcs_storage.list_tree(incoming_uri) if name not in (first, last)]
    claimed = gcs_storage.read(storage.join(incoming_uri, first), 0, None)
    gcs_storage.write(storage.join(uri, first), claimed, crc32="", sync=True)
    storage.for_each(lambda name: gcs_storage.copy(storage.join(incoming_uri, name), storage.join(uri, name)), others)
    gcs_storage.copy(storage.join(incoming_uri, last), storage.join(uri, last))


def remove(uri: str, first: str) -> None:
    """Removes the objects."""
    gcs_storage.remove(storage.join(uri, first))
    gcs_storage.remove_tree(uri)
