"""Reads one member of a ZIP archive, and checks it against the archive's directory.

zipfile reads all members from one shared file. Here, threads read runs of members, each run by one request, so that the header
in front of each member, which tells where its content begins, is parsed here.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from components.ingest.archive.byte_source import ByteSource, RangeFile
from components.ingest.archive.directory import LOCAL_HEADER_BYTES, Member, place
from components.ingest.archive.retry import TransientError
from components.ingest.archive.rules import quoted

MAX_HEADER_BYTES = LOCAL_HEADER_BYTES + 2 * 0xFFFF
"""With a name and an extra field."""

_HEADER = struct.Struct("<4s4xH16xHH")


class DamagedMemberError(TransientError, ValueError):
    """A member differs from what the directory says. It is read again, as the network may be the cause."""


@dataclass(frozen=True)
class Part:
    """An archive: the one that was opened, or a nested one.

    Attributes:
        source: Its bytes.
        folder: Where its members are placed; empty for the one that was opened.
    """

    source: ByteSource
    folder: str = ""


def find_content(file: RangeFile, part: Part, member: Member) -> int:
    """Reads the header of a member, and returns the offset of its content.

    Args:
        file: The source of the part.
        part: What the member is in.
        member: What the directory says of it.

    Raises:
        DamagedMemberError: If the header differs from the directory.
        OSError: If it cannot be read.
    """
    file.seek(member.offset)
    signature, method, name_bytes, extra_bytes = _HEADER.unpack(file.read(LOCAL_HEADER_BYTES))
    start: int = member.offset + LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if signature != b"PK\3\4" or method != member.method or start + member.compressed_bytes > member.end:
        raise _damaged(part, member, "its header differs from the directory")
    name = file.read(name_bytes).decode(errors="backslashreplace")
    if place(part.folder, name) != member.name:
        raise _damaged(part, member, f"its header names it {quoted(name)}")
    return start


def read_member(file: RangeFile, part: Part, member: Member) -> bytes:
    """Reads a whole member. Arguments and errors are those of `content_pieces`."""
    # One byte more than there should be shows that there is more, without unpacking all of it.
    return b"".join(content_pieces(file, part, member, 1 + max(member.num_bytes, member.compressed_bytes)))


def content_pieces(file: RangeFile, part: Part, member: Member, piece_bytes: int) -> Iterator[bytes]:
    """Reads a member in pieces of at most `piece_bytes` bytes.

    Raises:
        DamagedMemberError: If its header, size or CRC-32 differs from the directory; of the latter two, after the last piece.
        OSError: If it cannot be read.
    """
    num_bytes, crc32 = 0, 0
    for piece in _unpacked(file, part, member, piece_bytes):
        num_bytes, crc32 = num_bytes + len(piece), zlib.crc32(piece, crc32)
        if num_bytes > member.num_bytes:
            break
        yield piece
    if num_bytes != member.num_bytes:
        raise _wrong_size(part, member)
    if crc32 != member.crc32:
        raise _damaged(part, member, f"expected CRC-32 {member.crc32:08x}. Received: {crc32:08x}")


def _unpacked(file: RangeFile, part: Part, member: Member, piece_bytes: int) -> Iterator[bytes]:
    start = find_content(file, part, member)
    end = start + member.compressed_bytes
    file.seek(start)
    compressed = (file.read(min(piece_bytes, end - position)) for position in range(start, end, piece_bytes))
    if member.method == zipfile.ZIP_STORED:
        yield from compressed
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for data in compressed:
            piece = inflater.decompress(data, piece_bytes)
            while piece:
                yield piece
                piece = inflater.decompress(inflater.unconsumed_tail, piece_bytes)
            if inflater.unused_data:
                break
    except zlib.error as error:
        raise _damaged(part, member, str(error)) from None
    if not inflater.eof or inflater.unused_data:
        raise _wrong_size(part, member)


def _wrong_size(part: Part, member: Member) -> DamagedMemberError:
    return _damaged(part, member, f"its content does not have {member.num_bytes} bytes")


def _damaged(part: Part, member: Member, why: str) -> DamagedMemberError:
    return DamagedMemberError(f"{part.source.name}: the member {quoted(member.name)} is damaged: {why}")
