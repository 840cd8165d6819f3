"""Reads one member of a ZIP archive, and verifies it against the archive's directory.

zipfile reads all members from one shared file. Here, threads read runs of members, each with one request, so the header before
each member, which gives the offset of its content, is parsed here.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from components.ingest.archive.byte_source import ByteSource, RangeFile
from components.ingest.archive.directory import LOCAL_HEADER_BYTES, Member, place
from components.ingest.archive.retry import TransientError
from components.ingest.archive.rules import quoted

MAX_HEADER_BYTES = LOCAL_HEADER_BYTES + 2 * 0xFFFF
"""With a name and an extra field."""

_PIECE_BYTES = 1 << 20
_HEADER = struct.Struct("<4s4xH16xHH")


class DamagedMemberError(TransientError, ValueError):
    """A member does not match the directory. It is read again, because the network may be the cause."""


@dataclass(frozen=True)
class Part:
    """The outer archive or a nested one.

    Attributes:
        source: Its bytes.
        folder: The folder of its members; empty for the outer archive.
    """

    source: ByteSource
    folder: str = ""


def read_member(file: RangeFile, part: Part, member: Member) -> bytes:
    """Reads a whole member.

    Args:
        file: The source of the part.
        part: The archive of the member.
        member: Its entry in the directory.

    Raises:
        DamagedMemberError: If its header, size or CRC-32 differs from the directory.
        OSError: If it cannot be read.
    """
    file.seek(member.offset)
    # One read is faster than two, so it covers the content after the longest possible header.
    data = file.read(min(member.end - member.offset, MAX_HEADER_BYTES + member.compressed_bytes))
    start = _header_bytes(part, member, data)
    content = data[start : start + member.compressed_bytes]
    del data  # as large as the content
    # One byte more than expected reveals too much content without unpacking all of it.
    return b"".join(_checked(part, member, [content], member.num_bytes + 1))


def find_content(file: RangeFile, part: Part, member: Member) -> int:
    """Reads the header of a member, and returns the offset of its content. Arguments and errors: see `read_member`."""
    file.seek(member.offset)
    return member.offset + _header_bytes(part, member, file.read(min(member.end - member.offset, MAX_HEADER_BYTES)))


def content_pieces(file: RangeFile, part: Part, member: Member) -> Iterator[bytes]:
    """Reads a member of any size in pieces. Arguments and errors: see `read_member`."""
    start = find_content(file, part, member)
    end = start + member.compressed_bytes
    file.seek(start)
    pieces = (file.read(min(_PIECE_BYTES, end - position)) for position in range(start, end, _PIECE_BYTES))
    yield from _checked(part, member, pieces, _PIECE_BYTES)


def _header_bytes(part: Part, member: Member, data: bytes) -> int:
    """The size of the header at the start of `data`. The header must agree with the directory."""
    signature, method, name_bytes, extra_bytes = _HEADER.unpack_from(data)
    num_bytes: int = LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if signature != b"PK\3\4" or method != member.method or num_bytes + member.compressed_bytes > member.end - member.offset:
        raise _damaged(part, member, "its header differs from the directory")
    name = data[LOCAL_HEADER_BYTES : LOCAL_HEADER_BYTES + name_bytes].decode(errors="backslashreplace")
    if place(part.folder, name) != member.name:
        raise _damaged(part, member, f"its header names it {quoted(name)}")
    return num_bytes


def _checked(part: Part, member: Member, compressed: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Unpacks content into pieces of at most `piece_bytes` bytes, and verifies its size and CRC-32."""
    num_bytes, crc32 = 0, 0
    for piece in compressed if member.method == zipfile.ZIP_STORED else _inflated(part, member, compressed, piece_bytes):
        num_bytes, crc32 = num_bytes + len(piece), zlib.crc32(piece, crc32)
        if num_bytes > member.num_bytes:
            break
        yield piece
    if num_bytes != member.num_bytes:
        raise _wrong_size(part, member)
    if crc32 != member.crc32:
        raise _damaged(part, member, f"expected CRC-32 {member.crc32:08x}. Received: {crc32:08x}")


def _inflated(part: Part, member: Member, compressed: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
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
