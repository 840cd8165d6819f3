"""Conditional writes to an S3 store, in one request or in parts, and a test that the store honours them.

Uploads carry an MD5, which every store verifies, and the CRC-32C of the whole object as metadata.
"""

import base64
import contextlib
import hashlib
import io
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from components.storage.checksums import crc32c
from components.storage.s3_requests import UploadGoneError, call, endpoint, split_uri
from components.storage.store import join

# Larger files are sent in parts of this size. S3 takes 10,000 parts of at least 5 MiB.
PART_BYTES = 8 << 20
_MAX_PARTS = 10_000
_RESTARTS = 5
_RACERS = 4
# The keys in an object's metadata that hold the checksums of the file.
CRC32C, CRC32 = "crc32c", "crc32"
CREATE_ONLY = {"IfNoneMatch": "*"}


def create(uri: str, file: BinaryIO, metadata: dict[str, str]) -> None:
    """Uploads a file, create-only."""
    require_conditional_writes(uri)
    num_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if num_bytes <= PART_BYTES:
        put(uri, file.read(), metadata, CREATE_ONLY)
        return

    def upload_part(start: int, length: int, **part: Any) -> str:
        file.seek(start)
        data = file.read(length)
        return str(call(uri, "upload_part", Body=data, ContentMD5=_md5(data), **part)["ETag"])

    create_from_parts(uri, num_bytes, metadata, upload_part)


def put(uri: str, data: bytes, metadata: Mapping[str, str] | None = None, condition: Mapping[str, str] | None = None) -> None:
    """Uploads bytes in one request, on a condition: `CREATE_ONLY`, `IfMatch`, or none."""
    call(uri, "put_object", Body=data, ContentMD5=_md5(data), Metadata=metadata or {CRC32C: crc32c(data)}, **(condition or {}))


def create_from_parts(uri: str, num_bytes: int, metadata: dict[str, str], send_part: Callable[..., str]) -> None:
    """Creates an object from several parts, create-only.

    Args:
        uri: The object.
        num_bytes: Its size.
        metadata: Its metadata.
        send_part: Sends the part given by `start`, `length` and the arguments of the request, and returns its ETag.
    """
    part_bytes = max(PART_BYTES, -(-num_bytes // _MAX_PARTS))

    def create() -> None:
        upload = {"UploadId": call(uri, "create_multipart_upload", Metadata=metadata)["UploadId"]}
        try:
            parts = []
            for number, start in enumerate(range(0, num_bytes, part_bytes), start=1):
                etag = send_part(start, min(part_bytes, num_bytes - start), PartNumber=number, **upload)
                parts.append({"PartNumber": number, "ETag": etag})
            call(uri, "complete_multipart_upload", MultipartUpload={"Parts": parts}, **CREATE_ONLY, **upload)
        except BaseException:  # leftover parts are billed
            with contextlib.suppress(OSError):
                call(uri, "abort_multipart_upload", **upload)
            raise

    for _ in range(_RESTARTS):
        with contextlib.suppress(UploadGoneError):
            return create()
    return create()


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


# The buckets, with their endpoints, that are known to honour conditional writes.
_trusted: set[tuple[str, str]] = set()
_asking = threading.Lock()


def require_conditional_writes(uri: str) -> None:
    """Tests once per bucket and process whether a store honours conditional writes.

    Raises:
        io.UnsupportedOperation: If it does not.
    """
    place = endpoint(uri), split_uri(uri)[0]
    with _asking:
        if place not in _trusted:
            folder = uri.rpartition("/")[0]
            # Another run may remove the folder meanwhile, and the object of the test with it: only a second failure counts.
            if (broken := _broken_conditions(folder)) and _broken_conditions(folder):
                raise io.UnsupportedOperation(
                    f"s3://{place[1]}: the store at {place[0]} does not honour conditional writes ({broken}), so two runs "
                    "could overwrite each other's data. Use a newer release of it, or another store"
                )
            _trusted.add(place)


def _broken_conditions(folder: str) -> str:
    """Races to create an object, then tries each conditional overwrite. Returns what was wrongly accepted, if anything."""
    # A hidden name, but not that of an unfinished folder, which other processes may remove.
    uri = join(folder, f".question-{secrets.token_hex(4)}")

    def goes_through(act: Callable[[], None]) -> bool:
        try:
            act()
        except FileExistsError:
            return False
        return True

    def create(number: int) -> bool:
        return goes_through(lambda: put(uri, b"%d" % number, condition=CREATE_ONLY))

    def create_from_a_part() -> None:
        def send(start: int, length: int, **part: Any) -> str:
            return str(call(uri, "upload_part", Body=b"x", ContentMD5=_md5(b"x"), **part)["ETag"])

        create_from_parts(uri, 1, {}, send)

    with ThreadPoolExecutor(_RACERS) as pool:
        num_created = sum(pool.map(create, range(_RACERS)))
    try:
        if num_created > 1 or create(_RACERS):
            return "a second PutObject with If-None-Match was accepted"
        if goes_through(lambda: put(uri, b"", condition={"IfMatch": f'"{"0" * 32}"'})):
            return "a PutObject with another ETag in If-Match was accepted"
        if goes_through(create_from_a_part):
            return "a CompleteMultipartUpload with If-None-Match was accepted though the object existed"
        return ""
    except FileNotFoundError:  # the race has already found the bucket
        return "the object of the test disappeared"
    finally:
        call(uri, "delete_object")
