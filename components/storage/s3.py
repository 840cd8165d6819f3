"""Objects in S3-compatible stores.

The CRC-32C in an object's metadata is verified whenever the whole object is read; ranges are not verified. Objects of other
writers have a CRC-32C only if the writer asked the store to compute one.
"""

import base64
import contextlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from components.storage.checksums import crc32c, file_crc32c
from components.storage.s3_requests import call, split_uri
from components.storage.s3_writes import (
    CRC32,
    CRC32C,
    CREATE_ONLY,
    PART_BYTES,
    create,
    create_from_parts,
    put,
    require_conditional_writes,
)
from components.storage.store import Store, StoredFile, local_name

_DAMAGED_TRIES = 3
# Other writers may use the same key for something else.
_CHECKSUM = re.compile(r"[0-9a-f]{8}")
_ADVICE = "Delete or replace it, and run again"

_Result = TypeVar("_Result")


class S3Store(Store):
    """Objects in S3."""

    def stat(self, uri: str) -> StoredFile | None:
        try:
            return _stored_file(_head(uri))
        except FileNotFoundError:
            return None

    def modified_s(self, uri: str) -> float:
        return float(_head(uri)["LastModified"].timestamp())

    def list_files(self, uri: str, is_deep: bool) -> dict[str, StoredFile]:
        """Without checksums, which S3 does not list."""
        files, _ = _list(uri, "" if is_deep else "/")
        return dict(sorted(files.items()))

    def list_names(self, uri: str) -> list[str]:
        files, folders = _list(uri, "/")
        return sorted({*files, *folders})

    def read(self, uri: str, start: int = 0, length: int | None = None) -> bytes:
        """Verifies the checksum of a whole object, if it is known."""
        if start == 0 and length is None:
            return _read_whole(uri)[0]
        if length == 0:
            return b""
        end = "" if length is None else start + length - 1
        try:
            return _get(uri, Range=f"bytes={start}-{end}")[0]
        except EOFError:
            return b""

    def read_with_generation(self, uri: str) -> tuple[bytes, str] | None:
        """The generation is the ETag."""
        try:
            return _read_whole(uri)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None

    def fetch(self, uri: str, path: Path, may_link: bool) -> None:
        """Verifies the checksum, if it is known."""
        partial = path.with_name(f".{local_name(path.name)}.part")

        def download() -> None:
            head = _head(uri)
            with partial.open("wb") as file:
                for start in range(0, head["ContentLength"], PART_BYTES):
                    file.write(_get(uri, Range=f"bytes={start}-{start + PART_BYTES - 1}", IfMatch=head["ETag"])[0])
            _verify(uri, head, file_crc32c(partial), partial.stat().st_size)

        try:
            _undamaged(download)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, uri: str, data: bytes, crc32: str, sync: bool) -> None:
        create(uri, io.BytesIO(data), {CRC32C: crc32c(data)} | ({CRC32: crc32} if crc32 else {}))

    def upload(self, path: Path, uri: str, may_move: bool) -> None:
        with path.open("rb") as file:
            create(uri, file, {CRC32C: file_crc32c(path)})

    def copy(self, source_uri: str, uri: str) -> None:
        """Copies a large object on the server, in parts, because many stores ignore the condition of CopyObject."""
        head = _head(source_uri)
        checksums = _stored_file(head)
        if head["ContentLength"] <= PART_BYTES:
            self.write(uri, self.read(source_uri), checksums.crc32, sync=True)
            return
        source = dict(zip(("Bucket", "Key"), split_uri(source_uri), strict=True))

        def copy_part(start: int, length: int, **part: Any) -> str:
            part_range = f"bytes={start}-{start + length - 1}"
            options = {"CopySource": source, "CopySourceRange": part_range, "CopySourceIfMatch": head["ETag"]}
            return str(call(uri, "upload_part_copy", **options, **part)["CopyPartResult"]["ETag"])

        require_conditional_writes(uri)
        known = {CRC32C: checksums.crc32c, CRC32: checksums.crc32}
        create_from_parts(uri, head["ContentLength"], {key: value for key, value in known.items() if value}, copy_part)

    def swap(self, uri: str, data: bytes, generation: str) -> None:
        require_conditional_writes(uri)
        try:
            put(uri, data, condition={"IfMatch": generation} if generation else CREATE_ONLY)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            raise FileExistsError(f"{uri} is gone; nothing was written") from None

    def replace(self, uri: str, data: bytes) -> None:
        put(uri, data)

    def remove(self, uri: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            call(uri, "delete_object")


class _DamagedError(OSError):
    """Content whose size or checksum does not match."""


def _head(uri: str) -> dict[str, Any]:
    return call(uri, "head_object", ChecksumMode="ENABLED")


def _get(uri: str, **options: Any) -> tuple[bytes, dict[str, Any]]:
    answer = call(uri, "get_object", **options)
    return answer["Body"], answer


def _read_whole(uri: str) -> tuple[bytes, str]:
    """Reads an object and its ETag."""

    def read() -> tuple[bytes, str]:
        data, answer = _get(uri, ChecksumMode="ENABLED")
        _verify(uri, answer, crc32c(data), len(data))
        return data, answer["ETag"]

    return _undamaged(read)


def _verify(uri: str, answer: dict[str, Any], received: str, num_bytes: int) -> None:
    expected = _stored_file(answer)
    if num_bytes != expected.num_bytes:
        raise _DamagedError(f"{uri} is damaged: expected {expected.num_bytes} bytes. Received: {num_bytes}. {_ADVICE}")
    if expected.crc32c not in ("", received):
        raise _DamagedError(f"{uri} is damaged: expected the CRC-32C {expected.crc32c}. Received: {received}. {_ADVICE}")


def _undamaged(act: Callable[[], _Result]) -> _Result:
    """Retries a call whose data was damaged in transit."""
    for _ in range(_DAMAGED_TRIES - 1):
        with contextlib.suppress(_DamagedError):
            return act()
    return act()


def _stored_file(answer: dict[str, Any]) -> StoredFile:
    metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}  # some servers capitalise them
    kept = answer.get("ChecksumCRC32C", "") if answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" else ""
    ours = {name: value for name, value in metadata.items() if name in (CRC32C, CRC32) and _CHECKSUM.fullmatch(value)}
    known = ours.get(CRC32C) or ("" if "-" in kept else base64.b64decode(kept).hex())
    return StoredFile(answer["ContentLength"], known, ours.get(CRC32, ""), answer["ETag"])


def _list(uri: str, delimiter: str) -> tuple[dict[str, StoredFile], list[str]]:
    """The files and the names of the folders, without the empty objects that some tools create for folders."""
    prefix = f"{split_uri(uri)[1].strip('/')}/".lstrip("/")
    files: dict[str, StoredFile] = {}
    folders: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = call(uri, "list_objects_v2", Prefix=prefix, Delimiter=delimiter, **token)
        for found in page.get("Contents", []):
            if not found["Key"].endswith("/"):
                files[found["Key"].removeprefix(prefix)] = StoredFile(found["Size"], version=found["ETag"])
        folders += [found["Prefix"].removeprefix(prefix).rstrip("/") for found in page.get("CommonPrefixes", [])]
        if not page.get("IsTruncated"):
            return files, folders
        token = {"ContinuationToken": page["NextContinuationToken"]}
