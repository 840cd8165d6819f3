"""What is refused in an untrusted archive, and why.

No archive of images needs any of it, so nothing is repaired or skipped: the whole archive is refused.
"""

import re
import stat
import zipfile

MAX_MEMBERS = 500_000
MAX_DIRECTORY_BYTES = 64 << 20
MAX_MEMBER_BYTES = 64 << 20
"""For a member, compressed or not, because it is held in memory. Nested archives are not, so they may be larger."""

# Deflate reaches 1032. Text such as a label file reaches 10. An empty image of 512 x 512 px reaches 800, but is small.
_MAX_RATIO = 100
_ALWAYS_ALLOWED_BYTES = 1 << 20
# For all members together, and for a nested archive: images are already compressed.
_MAX_TOTAL_RATIO = 10

_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
_PATCHED = 1 << 5
_UTF_8 = 1 << 11
_PART = r"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f\x7f]+"
_PLAIN_PATH = re.compile(rf"(?![A-Za-z]:){_PART}(?:/{_PART})*/?")
_LONGEST_QUOTE = 100


def is_nested_archive(name: str) -> bool:
    """Whether a member is itself an archive, whose members are read like those of the outer one."""
    return name.lower().endswith(".zip")


def nested_folder(name: str) -> str:
    """The folder of a nested archive's members."""
    return f"{name[: -len('.zip')]}/"


def checked_name(archive: str, info: zipfile.ZipInfo) -> str:
    """Returns the name of a member.

    Args:
        archive: The name of the archive in errors.
        info: The member's entry in the directory.

    Raises:
        ValueError: If the member is refused.
    """
    name = info.orig_filename  # `filename` ends at a zero byte
    reason = _unreadable(name, info) or _suspicious_path(name) or _suspicious_size(name, info)
    if reason:
        raise refusal(archive, name, reason)
    return name


def check_total(archive: str, num_bytes: int, archive_bytes: int) -> None:
    """Refuses an archive whose members together are a decompression bomb.

    Raises:
        ValueError: If they are.
    """
    if num_bytes > max(_MAX_TOTAL_RATIO * archive_bytes, MAX_MEMBER_BYTES):
        raise ValueError(
            f"{archive} is refused: expected contents of at most {_MAX_TOTAL_RATIO} times its size, {archive_bytes} bytes. "
            f"Received: {num_bytes} bytes"
        )


def refusal(archive: str, name: str, reason: str) -> ValueError:
    """An error that names a member and what is wrong with it."""
    return ValueError(f"{archive} is refused: its member {quoted(name)} {reason}")


def quoted(name: str) -> str:
    """A name for errors: on one line, and shortened if it is long."""
    return repr(name if len(name) <= _LONGEST_QUOTE else f"{name[:_LONGEST_QUOTE]}...")


def _unreadable(name: str, info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16  # type and permissions as on Unix; 0 if unknown
    if not info.flag_bits & _UTF_8 and not name.isascii():
        return "has a name in an unknown encoding: expected UTF-8 with the flag for it"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.flag_bits & _PATCHED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type}: expected 0 (stored) or 8 (deflated)"
    if info.volume:
        return "is in another file of a multi-part archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"is a symbolic link or another special file: {stat.filemode(mode)}"
    return ""


def _suspicious_path(name: str) -> str:
    # A nested archive becomes a folder: "...zip" would become "..".
    if _PLAIN_PATH.fullmatch(name) and not (is_nested_archive(name) and not _PLAIN_PATH.fullmatch(nested_folder(name))):
        return ""
    return "does not have a plain relative path, without '..', backslashes and control characters"


def _suspicious_size(name: str, info: zipfile.ZipInfo) -> str:
    num_bytes, compressed_bytes = info.file_size, info.compress_size
    if info.compress_type == zipfile.ZIP_STORED and num_bytes != compressed_bytes:
        return f"is stored uncompressed in {compressed_bytes} bytes, but should have {num_bytes}"
    if name.endswith("/"):
        return f"is a folder of {num_bytes} bytes: expected none" if num_bytes else ""
    max_ratio = _MAX_TOTAL_RATIO if is_nested_archive(name) else _MAX_RATIO
    if not is_nested_archive(name) and max(num_bytes, compressed_bytes) > MAX_MEMBER_BYTES:
        return f"has {max(num_bytes, compressed_bytes)} bytes: expected at most {MAX_MEMBER_BYTES}"
    if num_bytes > max(_ALWAYS_ALLOWED_BYTES, max_ratio * compressed_bytes):
        return f"grows from {compressed_bytes} to {num_bytes} bytes: expected at most {max_ratio} times as many"
    return ""
