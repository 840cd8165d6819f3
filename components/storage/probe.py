"""Whether a place can be written to."""

import uuid

from components import storage


def probe(root: str) -> None:
    """Writes a small file of a new name, create-only, and removes it again.

    Raises:
        OSError: If that cannot be done.
    """
    uri = storage.join(root, f"preflight-{uuid.uuid4().hex}")
    try:
        storage.write_bytes(uri, b"Made by `python -m pipeline preflight`, and of no use after it.\n")
    finally:
        storage.remove(uri)
