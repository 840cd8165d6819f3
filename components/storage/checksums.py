"""Checksums of bytes and local files, as 8 hexadecimal digits."""

import zlib
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def crc32c(data: bytes) -> str:
    """The CRC-32C of some bytes: the checksum that Google Cloud Storage keeps of every object."""
    import google_crc32c  # noqa: PLC0415 (not installed on a machine that only submits)

    return f"{google_crc32c.value(data):08x}"


def crc32(data: bytes) -> str:
    """The CRC-32 of some bytes: the checksum that ZIP archives keep of their members."""
    return f"{zlib.crc32(data):08x}"


def file_crc32c(path: Path) -> str:
    """The CRC-32C of a local file, read in chunks."""
    import google_crc32c  # noqa: PLC0415 (see above)

    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.digest().hex()
