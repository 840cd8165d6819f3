"""What is said of a full disk."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

# How the system says that there is no room for a file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def full_disk_explained() -> Iterator[None]:
    """Says what to do about a full disk, whichever library found it full, and by whatever error."""
    try:
        yield
    except Exception as error:
        full = next((code for code in NO_ROOM if os.strerror(code) in str(error)), None)
        if full is None:
            raise
        told = f"{os.strerror(full)}: make room there and run the same command again, which carries on"
        if isinstance(error, OSError):
            raise OSError(full, told, error.filename) from None
        # A worker's error comes with its traceback.
        said = [line.strip() for line in str(error).splitlines() if os.strerror(full) in line][-1]
        named = re.search(f"{re.escape(os.strerror(full))}: '(.+?)'", said)
        raise OSError(full, told, named[1] if named else said) from None
