"""Reads members of a ZIP archive, and fetches only the parts of the archive that contain them."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, ByteSource, RangeFile, RetryingFile, Slice
from components.ingest.archive.directory import Member, read_directory
from components.ingest.archive.member import MAX_HEADER_BYTES, Part, content_pieces, find_content, read_member
from components.ingest.archive.retry import retrying
from components.ingest.archive.rules import check_total, is_nested_archive, nested_folder, refusal
from components.ingest.archive.spool import Spool


class Archive:
    """A ZIP archive whose directory was read and checked. Threads may share one.

    Attributes:
        validator: Changes with the content.
        members: In the order of their offsets: in the archive itself, then in each nested archive.
    """

    def __init__(self, validator: str, members: Sequence[Member], parts: Sequence[Part]) -> None:
        self.validator = validator
        self.members = members
        self._parts = parts

    def read(self, members: Iterable[Member]) -> Iterator[tuple[Member, bytes]]:
        """Reads members one at a time in the order of their offsets; neighbours share one request.

        The name, size and CRC-32 of each are verified. Transient errors are retried from the failed member on.

        Raises:
            DamagedMemberError: If a member is damaged on every attempt.
            ValueError: If the archive has changed since it was opened.
            OSError: If reading fails on every attempt.
        """
        again = retrying()
        for run in _runs(members):
            part = self._parts[run[0].part]
            with RangeFile(part.source, run[-1].end) as file:
                for member in run:
                    yield member, again(read_member, file, part, member)


def open_archive(source: ByteSource, spool: Spool) -> Archive:
    """Reads the directory of an archive, and refuses harmful archives (see `rules`).

    The members of a nested archive `x.zip` are placed in the folder `x`, unless they are already in a folder of that name. A
    nested archive is read in place if it is stored uncompressed, and otherwise unpacked to the spool first. It may not contain
    another one.

    Raises:
        ValueError: If it is not a ZIP archive, is damaged, or is refused.
        OSError: If it cannot be read, or there is no space on disk for a nested archive.
    """
    directory = read_directory(source)
    members = [member for member in directory.members if not is_nested_archive(member.name)]
    parts = [Part(source)]
    for outer in directory.members:
        if is_nested_archive(outer.name):
            nested = _open_nested(parts[0], outer, directory.validator, spool)
            members += _nested_members(nested, len(parts))
            parts.append(nested)
    _check_names(source.name, members)
    check_total(source.name, sum(member.num_bytes for member in members), source.num_bytes)
    return Archive(directory.validator, members, parts)


def _open_nested(part: Part, outer: Member, validator: str, spool: Spool) -> Part:
    folder = nested_folder(outer.name)
    if outer.method == zipfile.ZIP_STORED:
        with RangeFile(part.source, min(outer.end, outer.offset + MAX_HEADER_BYTES)) as file:
            start = retrying()(find_content, file, part, outer)
        return Part(Slice(part.source, start, outer.num_bytes, outer.name), folder)
    key = hashlib.sha256(f"{validator}\0{outer.name}".encode()).hexdigest()
    with RetryingFile(part.source, outer.end) as file:
        return Part(spool.keep(key, outer.name, content_pieces(file, part, outer), outer.num_bytes), folder)


def _nested_members(part: Part, number: int) -> list[Member]:
    members = read_directory(part.source, number, part.folder).members
    for member in members:
        if is_nested_archive(member.name):
            raise refusal(part.source.name, member.name, "is an archive nested in a nested archive: expected one level at most")
    return members


def _check_names(archive: str, members: Iterable[Member]) -> None:
    names = set()
    for member in members:
        if member.name in names:
            raise refusal(archive, member.name, "has the same name as another one")
        names.add(member.name)


def _runs(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Groups members that are close enough to one another to share a request."""
    run: list[Member] = []
    for member in sorted(members, key=lambda member: (member.part, member.offset)):
        if run and (member.part != run[-1].part or member.offset - run[-1].end > LONGEST_SKIP_BYTES):
            yield run
            run = []
        run.append(member)
    if run:
        yield run
