"""Reads the directory of a ZIP archive with zipfile, and refuses harmful archives."""

import hashlib
import struct
import zipfile
from dataclasses import dataclass

from components.ingest.archive.byte_source import ByteSource, RetryingFile, read_range
from components.ingest.archive.rules import MAX_DIRECTORY_BYTES, MAX_MEMBERS, checked_name, quoted, refusal

LOCAL_HEADER_BYTES = 30

_ENTRY_SIGNATURE = b"PK\1\2"
_END_BYTES, _END64_BYTES, _END64_LOCATOR_BYTES, _MAX_COMMENT_BYTES = 22, 56, 20, 1 << 16
# The part that zipfile searches for the directory.
_TAIL_BYTES = _END64_BYTES + _END64_LOCATOR_BYTES + _END_BYTES + _MAX_COMMENT_BYTES

_END_FIELDS = "disks {} and {}, {} of {} members in {} bytes at offset {}, and an end at offset {} in {} bytes"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its path in the archive; for a file in a nested archive, below the name of that archive without `.zip`.
        offset: The offset of its header.
        end: The offset of the next member or the directory.
        compressed_bytes: Its size in the archive.
        num_bytes: Its size.
        crc32: Its checksum.
        method: How it is compressed: 0 (stored) or 8 (deflated).
        part: 0, or the number of the nested archive that it is in.
    """

    name: str
    offset: int
    end: int
    compressed_bytes: int
    num_bytes: int
    crc32: int
    method: int
    part: int = 0


@dataclass(frozen=True)
class Directory:
    """The directory of an archive.

    Attributes:
        validator: A hash of the directory, which holds the name, place, size and checksum of every member.
        members: Sorted by offset, without folders.
    """

    validator: str
    members: list[Member]


def read_directory(source: ByteSource, part: int = 0, folder: str = "") -> Directory:
    """Reads the directory of an archive, in one or two requests.

    Args:
        source: The archive.
        part: The number of a nested archive.
        folder: The folder of a nested archive's members: a path that ends with `/`.

    Raises:
        ValueError: If it is not a ZIP archive, is damaged, or is refused (see `rules`).
        OSError: If it cannot be read.
    """
    with _ArchiveFile(source) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        except UnicodeDecodeError as error:
            name = error.object.decode(errors="backslashreplace")
            raise refusal(source.name, name, "has a name that is flagged as UTF-8 but is not") from None
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{source.name} is not a ZIP archive, or is damaged or incomplete: {error}") from None
        del archive  # it refers to every ZipInfo, which `_members` frees one by one
        directory, start = file.last_read, file.tell() - len(file.last_read)
        _check_end(source.name, len(infos), start, len(directory), file.read(_TAIL_BYTES))
    validator = f"zip:{hashlib.sha256(directory).hexdigest()}"
    return Directory(validator, _members(source.name, infos, start, part, folder))


def place(folder: str, name: str) -> str:
    """The path of a member in `folder`, whose name is not repeated if the member's own path begins with it."""
    return folder + name.removeprefix(f"{folder.split('/')[-2]}/") if folder else name


class _ArchiveFile(RetryingFile):
    """The file from which zipfile reads a directory. The tail, which zipfile reads several times, is fetched in one request.

    Attributes:
        last_read: The bytes of the last read: the directory, once zipfile has opened the archive.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        self.last_read = b""
        self._tail_start = max(0, source.num_bytes - _TAIL_BYTES)
        # Not in `read`: an OSError while zipfile searches for the directory would look to it like a missing directory.
        self._tail = read_range(source, self._tail_start, source.num_bytes)

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        self._check_size(size, 0)
        if start < self._tail_start:
            self.last_read = super().read(size)
        else:
            end = len(self._tail) if size < 0 else start + size - self._tail_start
            self.last_read = self._tail[start - self._tail_start : end]
            self.seek(start + len(self.last_read))
        self._check_size(len(self.last_read), self.last_read.count(_ENTRY_SIGNATURE))
        return self.last_read

    def _check_size(self, num_bytes: int, num_members: int) -> None:
        """Refuses a directory that would take too much memory, before zipfile parses it."""
        if num_bytes > MAX_DIRECTORY_BYTES or num_members > MAX_MEMBERS:
            raise ValueError(
                f"{self._source.name} is refused: expected at most {MAX_MEMBERS} members in a directory of at most "
                f"{MAX_DIRECTORY_BYTES} bytes. Received: {num_members or 'many'} in {num_bytes} bytes"
            )


def _check_end(archive: str, num_members: int, start: int, num_bytes: int, end: bytes) -> None:
    """Compares the end of the archive with the directory.

    zipfile ignores the number of members, the numbers of disks, the offset of the ZIP64 end, and bytes before the first member
    or after the end. Any mismatch reveals a damaged or incomplete archive.
    """
    position, located, recorded = 0, start + num_bytes, struct.unpack_from("<4x4H2L", end)
    if end.startswith(b"PK\6\6"):
        position, recorded = _END64_BYTES + _END64_LOCATOR_BYTES, struct.unpack_from("<16x2L4Q", end)
        (located,) = struct.unpack_from("<8xQ", end, _END64_BYTES)
    (comment_bytes,) = struct.unpack_from("<20xH", end, position)
    recorded += (located, position + _END_BYTES + comment_bytes)
    found = (0, 0, num_members, num_members, num_bytes, start, start + num_bytes, len(end))
    if recorded != found:
        raise ValueError(
            f"{archive} is damaged or incomplete: expected, by its end record, {_END_FIELDS.format(*recorded)}. "
            f"Received: {_END_FIELDS.format(*found)}"
        )


def _members(archive: str, infos: list[zipfile.ZipInfo], end: int, part: int, folder: str) -> list[Member]:
    """Converts zipfile's records to smaller ones, and empties their list.

    Overlapping members are refused, because they let a small archive unpack to an enormous size.
    """
    members = []
    infos.sort(key=lambda info: info.header_offset)
    following = "the archive's directory"
    while infos:
        info = infos.pop()
        name, start = checked_name(archive, info), info.header_offset
        least_end = start + LOCAL_HEADER_BYTES + len(name.encode()) + info.compress_size
        if least_end > end:
            raise refusal(archive, name, f"overlaps {following}: it ends at byte {least_end}, beyond that one's start at {end}")
        if not name.endswith("/"):
            sizes = info.compress_size, info.file_size
            members.append(Member(place(folder, name), start, end, *sizes, info.CRC, info.compress_type, part))
        end, following = start, quoted(name)
    members.reverse()
    return members
