"""Damages a stored file in many ways and checks how its reader responds, or makes a valid change."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from components.artifacts.damage import with_checksum, without_checksum

# The advice that each error must give.
_ADVICE = re.compile(r"[Rr]un again|[Dd]elete|[Rr]emove|models (verify|rollback)|[Pp]ush the model again|[Gg]ive another --out")
# Messages of libraries, which name no file.
_RAW = re.compile(r"errors\.pydantic\.dev|DataLoss|Traceback|Error -\d while .*\n")


def damages(data: bytes, num_cases: int) -> Iterator[bytes]:
    """Damaged versions of a file: empty, truncated, with changed bytes, or replaced by something else."""
    draws = random.Random(0)
    yield from (b"", b"\0", b"garbage", b"{}", b"[]", b"null", b"\xff\xfe" * 20, data[: len(data) // 2], data[:-1], data[1:])
    yield bytes(len(data))
    yield draws.randbytes(len(data))
    for _ in range(num_cases):
        damaged = bytearray(data)
        for _ in range(draws.choice((1, 1, 1, 2, 20))):
            damaged[draws.randrange(len(data))] ^= draws.choice((1 << draws.randrange(8), draws.randrange(1, 256)))
        yield bytes(damaged[: draws.randrange(len(data))]) if draws.random() < 0.2 else bytes(damaged)


def check_damaged(
    path: Path, read: Callable[[], object], num_cases: int, errors: tuple[type[Exception], ...] = (ValueError, OSError)
) -> None:
    """Asserts that a damaged file reads as it was written, or ends in one error that names it and says what to do.

    Args:
        path: The file, which is restored at the end.
        read: Reads it as the project does.
        num_cases: The number of versions with changed bytes.
        errors: The exceptions that the reader may raise.
    """
    data, expected = path.read_bytes(), read()
    num_refused = 0
    try:
        for damaged in damages(data, num_cases):
            path.unlink()  # not overwritten: another name may link to it
            path.write_bytes(damaged)
            try:
                found = read()
            except errors as error:
                num_refused += 1
                said = str(error)
                assert path.name in said, (damaged, said)
                assert _ADVICE.search(said), (damaged, said)
                assert not _RAW.search(said), (damaged, said)
            else:
                assert found == expected, damaged
    finally:
        path.unlink()
        path.write_bytes(data)
    assert num_refused
    assert read() == expected


def changed_json(data: bytes, **changed: object) -> bytes:
    """A JSON file with changed values and a matching checksum."""
    return with_checksum(json.dumps(json.loads(without_checksum(data)) | changed))
