"""Reads one member of a ZIP archive, and holds it to what the archive's directory says of it."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from components.ingest.archive.byte_source import ByteSource, ForwardReader
from components.ingest.archive.directory import LOCAL_HEADER_BYTES, Member, place
from components.ingest.archive.retry import TransientError, retrying
from components.ingest.archive.rules import quoted

MAX_HEADER_BYTES = LOCAL_HEADER_BYTES + 2 * 0xFFFF
"""Of a member's own header, with its name and its extra field."""

_LOCAL_HEADER = struct.Struct("<4s4xH16xHH")
_LOCAL_SIGNATURE = b"PK\3\4"
# Of content that is not read whole.
_PIECE_BYTES = 1 << 20


class DamagedMemberError(TransientError, ValueError):
    """A member is not what the archive's directory says. It is read again, for the network may be to blame."""


@dataclass(frozen=True)
class Part:
    """An archive: the one that was opened, or one that lies in it.

    Attributes:
        folder: Where its members are placed; empty for the one that was opened.
    """

    source: ByteSource
    folder: str = ""


def read_member(reader: ForwardReader, part: Part, member: Member) -> bytes:
    """Reads a member whole.

    Args:
        reader: Of the part's source.
        part: Where the member lies.
        member: What the directory says of it.

    Raises:
        DamagedMemberError: If its header, its size or its CRC-32 is another.
    """
    reader.go_to(member.offset)
    # Header and content at once: how long the header is stands in itself.
    data = reader.read_exactly(min(member.end - member.offset, MAX_HEADER_BYTES + member.compressed_bytes))
    start = _header_bytes(part, member, data)
    content = data[start : start + member.compressed_bytes]
    del data  # as large as the content
    if member.method == zipfile.ZIP_DEFLATED:
        content = _inflate(part, member, content)
    _check_crc32(part, member, zlib.crc32(content))
    return content


def find_content(reader: ForwardReader, part: Part, member: Member) -> int:
    """Reads a member's own header, and says where its content begins.

    Raises:
        DamagedMemberError: If the header is not what the directory says.
    """
    reader.go_to(member.offset)
    return member.offset + _header_bytes(part, member, reader.read_exactly(min(member.end - member.offset, MAX_HEADER_BYTES)))


def _header_bytes(part: Part, member: Member, data: bytes) -> int:
    """How long the header is that `data` begins with, if it says what the directory does."""
    signature, method, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data)
    num_bytes: int = LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    ends_in_time = member.offset + num_bytes + member.compressed_bytes <= member.end
    if signature != _LOCAL_SIGNATURE or method != member.method or not ends_in_time:
        raise _damaged(part, member, "its own header is not as the directory says")
    name = data[LOCAL_HEADER_BYTES : LOCAL_HEADER_BYTES + name_bytes].decode(errors="backslashreplace")
    if place(part.folder, name) != member.name:
        raise _damaged(part, member, f"it calls itself {quoted(name)}")
    return num_bytes


def inflated_pieces(part: Part, member: Member) -> Iterator[bytes]:
    """Reads a deflated member in pieces, and raises when all are read if they are not what they should be.

    Raises:
        DamagedMemberError: If its header, its size or its CRC-32 is another.
    """
    inflater, crc32, num_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
    for compressed in _compressed_pieces(part, member):
        while piece := _decompress(part, member, inflater, compressed, _PIECE_BYTES):
            crc32, num_bytes = zlib.crc32(piece, crc32), num_bytes + len(piece)
            if num_bytes > member.num_bytes:
                raise _wrong_size(part, member)
            yield piece
            compressed = inflater.unconsumed_tail  # noqa: PLW2901
    if num_bytes != member.num_bytes or not inflater.eof:
        raise _wrong_size(part, member)
    _check_crc32(part, member, crc32)


def _compressed_pieces(part: Part, member: Member) -> Iterator[bytes]:
    again = retrying()
    with ForwardReader(part.source, member.end) as reader:
        start = again(find_content, reader, part, member)
        end = start + member.compressed_bytes
        for position in range(start, end, _PIECE_BYTES):
            yield again(_read_at, reader, position, min(_PIECE_BYTES, end - position))


def _read_at(reader: ForwardReader, position: int, num_bytes: int) -> bytes:
    reader.go_to(position)
    return reader.read_exactly(num_bytes)


def _inflate(part: Part, member: Member, data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    # One byte more than there should be shows that there is more; all that there may be is never unpacked.
    content = _decompress(part, member, inflater, data, member.num_bytes + 1)
    if len(content) != member.num_bytes or not inflater.eof or inflater.unused_data:
        raise _wrong_size(part, member)
    return content


def _decompress(part: Part, member: Member, inflater: "zlib._Decompress", data: bytes, max_bytes: int) -> bytes:
    try:
        return inflater.decompress(data, max_bytes)
    except zlib.error as error:
        raise _damaged(part, member, str(error)) from None


def _check_crc32(part: Part, member: Member, found: int) -> None:
    if found != member.crc32:
        raise _damaged(part, member, f"expected the CRC-32 {member.crc32:08x}. Received: {found:08x}")


def _wrong_size(part: Part, member: Member) -> DamagedMemberError:
    return _damaged(part, member, f"its content does not have {member.num_bytes} bytes")


def _damaged(part: Part, member: Member, why: str) -> DamagedMemberError:
    return DamagedMemberError(f"{part.source.name}: the member {quoted(member.name)} is damaged: {why}")
