"""Tests write access."""

import uuid

from components import storage


def probe(root: str) -> None:
    """Creates a small file below `root` and removes it again.

    Raises:
        OSError: If either fails.
    """
    uri = storage.join(root, f"preflight-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(uri, b"`python -m pipeline preflight` tests write access with this file. It can be deleted.\n")
    finally:
        storage.remove(uri)
