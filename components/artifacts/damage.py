"""Detects damaged files and names them in one kind of error.

JSON files written here end with a checksum of their content. Those of earlier versions have none.
"""

import contextlib
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from components.runtime.wording import shorten
from components.storage import crc32

_Model = TypeVar("_Model", bound=BaseModel)

_CHECKSUM = re.compile(rb',\s*"crc32": "([0-9a-f]{8})"\s*}\s*\Z')
# What readers raise for unexpected content. Of the OSErrors, only gzip's is here, because the others may be transient.
_CAUSES: tuple[type[Exception], ...] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    zlib.error,
    csv.Error,
    gzip.BadGzipFile,
)


class DamagedFileError(ValueError):
    """A file without the expected content. The message names it and says what to do."""


@contextlib.contextmanager
def naming(
    uri: str, expected: str, advice: str = "delete it and run again", more: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Names a file in the errors about its content.

    Args:
        uri: The file.
        expected: What it should hold, in words.
        advice: What to do.
        more: Further exceptions that its reader raises for bad content.

    Raises:
        DamagedFileError: If it is damaged.
    """
    try:
        yield
    except DamagedFileError:
        raise
    except _CAUSES + more as error:
        raise DamagedFileError(f"{uri}: expected {expected}. Received: {_brief(error)}. If it is damaged, {advice}") from None


def _brief(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return shorten(": ".join((".".join(map(str, first["loc"])), first["msg"])).removeprefix(": "))
    return shorten((str(error) or type(error).__name__).splitlines()[0])


def parse_json(kind: type[_Model], data: bytes, uri: str, expected: str, advice: str = "delete it and run again") -> _Model:
    """Parses a model from the JSON of `to_json`, or of an earlier version without a checksum.

    Raises:
        DamagedFileError: If it is damaged: see `naming`.
    """
    with naming(uri, expected, advice):
        return kind.model_validate_json(without_checksum(data))


def to_json(content: BaseModel, indent: int | None = 2, exclude_none: bool = False) -> bytes:
    """A model as JSON with a checksum."""
    return with_checksum(content.model_dump_json(indent=indent, exclude_none=exclude_none))


def with_checksum(text: str) -> bytes:
    """Appends the CRC-32 of a JSON object, which must not be empty, as its last entry."""
    content = text.rstrip().removesuffix("}").rstrip().encode()
    return content + b',\n  "crc32": "%s"\n}\n' % crc32(content).encode()


def without_checksum(data: bytes) -> bytes:
    """The JSON without its checksum, with different whitespace. JSON without a checksum is returned unchanged.

    Raises:
        ValueError: If the checksum does not match.
    """
    found = _CHECKSUM.search(data)
    if not found:
        return data
    content = data[: found.start()]
    if crc32(content).encode() != found[1]:
        raise ValueError("content that does not match its checksum")
    return content + b"}"
