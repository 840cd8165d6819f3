"""Whether places can be written to: `python -m components.storage.probe <folder or gs://...>...`.

Ends with 3 and the reason if one cannot, and with 4 if it could not find out.
"""

import argparse
import logging
import sys
import uuid
from collections.abc import Sequence

from components import storage
from components.runtime.exit_status import UNKNOWN, WRONG


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


def main(roots: Sequence[str]) -> int:
    """Probes each place, and gives the exit status."""
    status = 0
    for root in roots:
        try:
            probe(root)
        except storage.NoCredentialsError as error:  # nor for the other places
            print(error, file=sys.stderr)
            return status or UNKNOWN
        except (FileNotFoundError, PermissionError, ValueError) as error:
            print(error, file=sys.stderr)
            status = WRONG
        except OSError as error:
            print(error, file=sys.stderr)
            status = status or UNKNOWN
    return status


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # libraries tell of every try
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", nargs="+")
    sys.exit(main(parser.parse_args().roots))
