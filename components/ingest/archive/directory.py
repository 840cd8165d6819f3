"""Reads the directory of a ZIP archive, and refuses an archive that means harm.

Python's zipfile would do, but for memory: it keeps some 600 bytes for each member, and has no bound on how many there are.
Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from components.ingest.archive.byte_source import ByteSource, read_range
from components.ingest.archive.rules import MAX_DIRECTORY_BYTES, MAX_MEMBERS, Entry, checked_name, quoted, refusal

LOCAL_HEADER_BYTES = 30

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\5\6"
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64_LOCATOR_SIGNATURE = b"PK\6\7"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\6\6"
_ENTRY = struct.Struct("<4s4x2H4x3L4H2x2L")
_ENTRY_SIGNATURE = b"PK\1\2"
_EXTRA = struct.Struct("<HH")
_ZIP64_EXTRA = 1
_IN_ZIP64_EXTRA = 0xFFFFFFFF
# All that can stand behind the directory: a comment has at most 65535 bytes.
_MAX_END_BYTES = _END64.size + _END64_LOCATOR.size + _END.size + 0xFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its path in the archive; of a file in a nested archive, below that one's name without `.zip`.
        offset: Where its header begins.
        end: Where the next member begins, or the directory: nothing of this one lies beyond.
        compressed_bytes: The size of what lies in the archive.
        num_bytes: Its size.
        crc32: Its checksum.
        method: How it is compressed: 0 for not at all, 8 for deflate.
        part: 0, or the number of the nested archive that it lies in.
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
    """What an archive says of itself.

    Attributes:
        validator: A hash of the directory, which holds every member's name, place, size and checksum.
        members: Sorted by offset, without folders.
    """

    validator: str
    members: list[Member]


def read_directory(source: ByteSource, part: int = 0, folder: str = "") -> Directory:
    """Reads an archive's directory, by one request or two.

    Args:
        source: The archive.
        part: The number of a nested archive.
        folder: Where the members of a nested archive are placed: a path that ends with `/`.

    Raises:
        ValueError: If it is no ZIP archive, is damaged, or holds what is refused (`rules`).
        OSError: If it cannot be read.
    """
    end, data = _fetch(source)
    members = []
    for entry in _entries(source.name, data, end.num_entries):
        name = place(folder, checked_name(source.name, entry))
        # The least that it takes: what its own header adds to the name is known when it is read.
        least_end = entry.offset + LOCAL_HEADER_BYTES + len(entry.name) + entry.compressed_bytes
        members.append(
            Member(name, entry.offset, least_end, entry.compressed_bytes, entry.num_bytes, entry.crc32, entry.method, part)
        )
    _lay_out(source.name, members, end.start)
    return Directory(_validator(data), [member for member in members if not member.name.endswith("/")])


def read_validator(source: ByteSource) -> str:
    """The directory's hash alone, which costs little time and memory: what `Directory.validator` holds.

    Raises:
        As `read_directory` does for the directory as a whole.
    """
    return _validator(_fetch(source)[1])


def place(folder: str, name: str) -> str:
    """Where a member of an archive is placed: in `folder`, once, also if it lies in one of that name already."""
    return folder + name.removeprefix(f"{folder.split('/')[-2]}/") if folder else name


def _validator(directory: bytes) -> str:
    return f"zip:{hashlib.sha256(directory).hexdigest()}"


@dataclass(frozen=True)
class _End:
    """Where an archive's end says that its directory is."""

    start: int
    num_bytes: int
    num_entries: int


def _fetch(source: ByteSource) -> tuple[_End, bytes]:
    tail_start = max(0, source.num_bytes - _MAX_END_BYTES)
    tail = read_range(source, tail_start, source.num_bytes)
    end = _find_end(source.name, tail, tail_start)
    if end.num_entries > MAX_MEMBERS or end.num_bytes > MAX_DIRECTORY_BYTES:
        raise ValueError(
            f"{source.name} is refused: expected at most {MAX_MEMBERS} members and a directory of {MAX_DIRECTORY_BYTES} bytes. "
            f"Received: {end.num_entries} members in {end.num_bytes} bytes"
        )
    if end.start >= tail_start:
        return end, tail[end.start - tail_start :][: end.num_bytes]
    return end, read_range(source, end.start, end.start + end.num_bytes)


def _find_end(archive: str, tail: bytes, tail_start: int) -> _End:
    position = tail.rfind(_END_SIGNATURE)
    if position < 0 or len(tail) - position < _END.size:
        raise ValueError(f"{archive} is no ZIP archive, or not all of it: expected a directory at its end. Received: none")
    _, *disks, num_here, num_entries, num_bytes, start, comment_bytes = _END.unpack_from(tail, position)
    is_whole = position + _END.size + comment_bytes == len(tail)
    locator = position - _END64_LOCATOR.size
    if locator >= 0 and tail.startswith(_END64_LOCATOR_SIGNATURE, locator):
        position = locator - _END64.size
        is_whole &= _END64_LOCATOR.unpack_from(tail, locator)[2] == tail_start + position
        if position < 0 or not tail.startswith(_END64_SIGNATURE, position):
            raise _damaged(archive, "expected a ZIP64 record before its end. Received: none")
        *_, disk, disk_of_start, num_here, num_entries, num_bytes, start = _END64.unpack_from(tail, position)
        disks = [disk, disk_of_start]
    if not is_whole or disks != [0, 0] or num_here != num_entries or start + num_bytes != tail_start + position:
        raise _damaged(
            archive,
            f"expected {num_entries} members in one file, and their directory from byte {start} to {start + num_bytes}. "
            f"Received: an end of {num_here} members at byte {tail_start + position}",
        )
    return _End(start, num_bytes, num_entries)


def _entries(archive: str, directory: bytes, num_entries: int) -> Iterator[Entry]:
    position = 0
    for number in range(num_entries):
        name_start = position + _ENTRY.size
        if name_start > len(directory) or not directory.startswith(_ENTRY_SIGNATURE, position):
            raise _damaged(archive, f"expected {num_entries} members. Received: {number}")
        fields = _ENTRY.unpack_from(directory, position)
        _, flags, method, crc32, compressed_bytes, num_bytes, *lengths, disk, attributes, offset = fields
        extra_start = name_start + lengths[0]
        comment_start = extra_start + lengths[1]
        position = comment_start + lengths[2]
        if _IN_ZIP64_EXTRA in (num_bytes, compressed_bytes, offset):
            extra = directory[extra_start:comment_start]
            num_bytes, compressed_bytes, offset = _with_zip64(archive, extra, (num_bytes, compressed_bytes, offset))
        name = directory[name_start:extra_start]
        yield Entry(name, flags, method, crc32, compressed_bytes, num_bytes, offset, attributes >> 16, disk)
    if position != len(directory):
        raise _damaged(
            archive, f"expected {num_entries} members in {len(directory)} bytes. Received: members in {position} bytes"
        )


def _with_zip64(archive: str, extra: bytes, values: tuple[int, ...]) -> tuple[int, ...]:
    """Replaces what has no room in an entry by what stands in its extra field, in this order."""
    while len(extra) >= _EXTRA.size:
        kind, length = _EXTRA.unpack_from(extra)
        content, extra = extra[_EXTRA.size :][:length], extra[_EXTRA.size + length :]
        if kind == _ZIP64_EXTRA and len(content) >= 8 * values.count(_IN_ZIP64_EXTRA):
            large = (value for (value,) in struct.iter_unpack("<Q", content[: len(content) // 8 * 8]))
            return tuple(next(large) if value == _IN_ZIP64_EXTRA else value for value in values)
    raise _damaged(archive, "expected the size and the place of a large member in its extra field. Received: none")


def _lay_out(archive: str, members: list[Member], directory_start: int) -> None:
    """Sorts members by offset and lets each end where the next one begins, in place: a copy would double the memory.

    Overlapping members are how a small archive becomes an endless one: each would have to be read again for all the others.
    """
    members.sort(key=lambda member: member.offset)
    for number, member in enumerate(members):
        following = members[number + 1] if number + 1 < len(members) else None
        end = following.offset if following else directory_start
        if member.end > end:
            other = quoted(following.name) if following else "the archive's directory"
            raise refusal(archive, member.name, f"overlaps {other}: it ends at byte {member.end}, that begins at byte {end}")
        members[number] = replace(member, end=end)


def _damaged(archive: str, reason: str) -> ValueError:
    return ValueError(f"{archive} has a damaged directory: {reason}")
