"""Makes ZIP archives with Python's zipfile, and changes their bytes as in hostile or damaged archives."""

import io
import struct
import zipfile
from collections.abc import Iterable

# The offsets and formats of an entry's fields, in the directory and in the member's local header.
_DIRECTORY_FIELDS = {
    "version": (6, "<H"),
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "crc32": (16, "<L"),
    "compressed": (20, "<L"),
    "size": (24, "<L"),
    "extra length": (30, "<H"),
    "disk": (34, "<H"),
    "mode": (40, "<H"),
    "offset": (42, "<L"),
}
_ENTRY = struct.Struct("<4s4x2H4x3L4H2x2L")
_HEADER_FIELDS = {"signature": (0, "<L"), "method": (8, "<H"), "name length": (26, "<H"), "extra length": (28, "<H")}


class _Unseekable(io.BytesIO):
    """A file without seeking, for which zipfile writes data descriptors after the content."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def make_zip(
    files: Iterable[tuple[str | zipfile.ZipInfo, bytes]],
    method: int = zipfile.ZIP_STORED,
    comment: bytes = b"",
    is_streamed: bool = False,
    has_zip64: bool = False,
) -> bytes:
    """Makes an archive of these files."""
    buffer = _Unseekable() if is_streamed else io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, data in files:
            with archive.open(name, "w", force_zip64=has_zip64) as file:
                file.write(data)
    return buffer.getvalue()


def make_huge_zip(names: Iterable[bytes]) -> bytes:
    """The directory of an archive of empty members, without the members, with a ZIP64 end record."""
    entries, offset = [], 0
    for name in names:
        entries.append(_ENTRY.pack(b"PK\1\2", 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, offset) + name)
        offset += 30 + len(name)
    directory = b"".join(entries)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(offset) + directory + end64 + locator + end


def member_info(name: str, method: int = zipfile.ZIP_STORED, mode: int = 0o644, extra: bytes = b"") -> zipfile.ZipInfo:
    """How one member is written, if it differs from the others."""
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr, info.extra = method, mode << 16, extra
    return info


def directory_start(data: bytes) -> int:
    """The offset of the directory in an archive without a comment."""
    start: int = struct.unpack_from("<L", data, len(data) - 6)[0]
    return start


def with_entry(data: bytes, number: int, **fields: int) -> bytes:
    """The archive with other fields in the directory entry of this number."""
    position = directory_start(data)
    for _ in range(number):
        position += 46 + sum(struct.unpack_from("<3H", data, position + 28))
    return _with_fields(data, position, _DIRECTORY_FIELDS, fields)


def with_header(data: bytes, number: int, **fields: int) -> bytes:
    """The archive with other fields in the local header of the member of this number."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        position = archive.infolist()[number].header_offset
    return _with_fields(data, position, _HEADER_FIELDS, fields)


def with_end(data: bytes, num_here: int, num_entries: int, num_bytes: int, start: int) -> bytes:
    """The archive, which has no comment, with another end record."""
    return data[:-14] + struct.pack("<2H2LH", num_here, num_entries, num_bytes, start, 0)


def _with_fields(data: bytes, position: int, places: dict[str, tuple[int, str]], fields: dict[str, int]) -> bytes:
    changed = bytearray(data)
    for name, value in fields.items():
        offset, form = places[name.replace("_", " ")]
        struct.pack_into(form, changed, position + offset, value)
    return bytes(changed)
