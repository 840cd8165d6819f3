"""Advice in the error about a full disk."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

# The errors of a system without room for a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def full_disk_explained() -> Iterator[None]:
    """Adds advice to the error about a full disk, whichever library raises it."""
    try:
        yield
    except Exception as error:
        full = next((code for code in NO_ROOM if os.strerror(code) in str(error)), None)
        if full is None:
            raise
        message = f"{os.strerror(full)}: free some space there and run the same command again, which resumes"
        if isinstance(error, OSError):
            raise OSError(full, message, error.filename) from None
        # A worker's error includes its traceback.
        said = [line.strip() for line in str(error).splitlines() if os.strerror(full) in line][-1]
        named = re.search(f"{re.escape(os.strerror(full))}: '(.+?)'", said)
        raise OSError(full, message, named[1] if named else said) from None
