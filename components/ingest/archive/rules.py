"""What is refused in an archive that anybody may have made, and why.

An archive of images needs none of it, so that nothing is repaired or left out: the archive is refused as a whole.
"""

import re
import stat
import zipfile
from typing import NamedTuple

MAX_MEMBERS = 500_000
MAX_DIRECTORY_BYTES = 64 << 20
MAX_MEMBER_BYTES = 64 << 20
"""Compressed or not, for a member is held in memory whole. A nested archive is not."""

# Deflate reaches 1032. A text such as a label file reaches 10, an empty image of 512 pixels' side 800: but that is small.
_MAX_RATIO = 100
_ALWAYS_ALLOWED_BYTES = 1 << 20
# Of everything together, and of a nested archive: what holds images has been compressed before.
_MAX_TOTAL_RATIO = 10

_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_PATCHED = 1 << 5
_UTF_8 = 1 << 11
_PART = r"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f\x7f]+"
_PLAIN_PATH = re.compile(rf"(?![A-Za-z]:){_PART}(?:/{_PART})*/?")
_LONGEST_QUOTE = 100


class Entry(NamedTuple):
    """A member as the archive's directory describes it.

    Attributes:
        name: As it stands there.
        flags: General purpose bits.
        mode: Type and permissions as Unix has them; 0 if they are unknown.
        disk: The number of the file that it lies in, of an archive in several.
    """

    name: bytes
    flags: int
    method: int
    crc32: int
    compressed_bytes: int
    num_bytes: int
    offset: int
    mode: int
    disk: int


def is_nested_archive(name: str) -> bool:
    """Whether a member is an archive, whose members are read as if they lay in this one."""
    return name.lower().endswith(".zip")


def nested_folder(name: str) -> str:
    """Where the members of a nested archive are placed."""
    return f"{name[: -len('.zip')]}/"


def checked_name(archive: str, entry: Entry) -> str:
    """A member's name.

    Args:
        archive: What errors call the archive.
        entry: What its directory says.

    Raises:
        ValueError: If the member is none that is read.
    """
    reason = _unreadable_name(entry) or _unreadable_content(entry)
    name = entry.name.decode(errors="backslashreplace")
    if not reason:
        reason = _suspicious_path(name) or _suspicious_size(name, entry)
    if reason:
        raise refusal(archive, name, reason)
    return name


def check_total(archive: str, num_bytes: int, archive_bytes: int) -> None:
    """Refuses an archive that is a decompression bomb as a whole.

    Raises:
        ValueError: If it is.
    """
    if num_bytes > max(_MAX_TOTAL_RATIO * archive_bytes, MAX_MEMBER_BYTES):
        raise ValueError(
            f"{archive} is refused: expected contents of at most {_MAX_TOTAL_RATIO} times its size, {archive_bytes} bytes. "
            f"Received: {num_bytes} bytes"
        )


def refusal(archive: str, name: str, reason: str) -> ValueError:
    """The error that names an archive's member and what is wrong with it."""
    return ValueError(f"{archive} is refused: its member {quoted(name)} {reason}")


def quoted(name: str) -> str:
    """A name as errors show it: on one line, and not all of it if it is long."""
    return repr(name if len(name) <= _LONGEST_QUOTE else f"{name[:_LONGEST_QUOTE]}...")


def _unreadable_name(entry: Entry) -> str:
    if not entry.flags & _UTF_8 and not entry.name.isascii():
        return "has a name in an unknown encoding: expected UTF-8, and the flag that says so"
    try:
        entry.name.decode()
    except UnicodeDecodeError:
        return "has a name that is not UTF-8, though it says so"
    return ""


def _unreadable_content(entry: Entry) -> str:
    if entry.flags & _ENCRYPTED:
        return "is encrypted"
    if entry.flags & _PATCHED or entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by the method {entry.method}: expected 0 (stored) or 8 (deflated)"
    if entry.disk:
        return "lies in another file of an archive in several"
    if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"is a symbolic link or another special file: {stat.filemode(entry.mode)}"
    return ""


def _suspicious_path(name: str) -> str:
    # The name of a nested archive names a folder: "...zip" would be "..".
    if _PLAIN_PATH.fullmatch(name) and not (is_nested_archive(name) and not _PLAIN_PATH.fullmatch(nested_folder(name))):
        return ""
    return "is not named by a plain relative path, without '..', backslashes and control characters"


def _suspicious_size(name: str, entry: Entry) -> str:
    num_bytes, compressed_bytes = entry.num_bytes, entry.compressed_bytes
    if entry.method == zipfile.ZIP_STORED and num_bytes != compressed_bytes:
        return f"is stored as it is in {compressed_bytes} bytes, and said to have {num_bytes}"
    if name.endswith("/"):
        return f"is a folder of {num_bytes} bytes: expected none" if num_bytes else ""
    if is_nested_archive(name):
        return _suspicious_ratio(_MAX_TOTAL_RATIO, entry)
    if max(num_bytes, compressed_bytes) > MAX_MEMBER_BYTES:
        return f"has {max(num_bytes, compressed_bytes)} bytes: expected at most {MAX_MEMBER_BYTES}"
    return _suspicious_ratio(_MAX_RATIO, entry)


def _suspicious_ratio(max_ratio: int, entry: Entry) -> str:
    if entry.num_bytes <= max(_ALWAYS_ALLOWED_BYTES, max_ratio * entry.compressed_bytes):
        return ""
    return f"grows from {entry.compressed_bytes} to {entry.num_bytes} bytes: expected at most {max_ratio} times as many"
