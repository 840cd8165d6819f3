"""Reads the members of a ZIP archive, of which only the parts that are asked for are fetched."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, ByteSource, ForwardReader, Slice
from components.ingest.archive.directory import Member, read_directory
from components.ingest.archive.member import MAX_HEADER_BYTES, Part, find_content, inflated_pieces, read_member
from components.ingest.archive.retry import retrying
from components.ingest.archive.rules import check_total, is_nested_archive, nested_folder, refusal
from components.ingest.archive.spool import keep


class Archive:
    """A ZIP archive that was looked through. Many threads may read from one.

    Attributes:
        validator: What is the same as long as the content is the same.
        members: In the order of their places: in the archive itself, then in each archive that lies in it.
    """

    def __init__(self, validator: str, members: Sequence[Member], parts: Sequence[Part]) -> None:
        self.validator = validator
        self.members = members
        self._parts = parts

    def read(self, members: Iterable[Member]) -> Iterator[tuple[Member, bytes]]:
        """Reads members in the order of their places, one at a time, and those that lie side by side by one stream.

        Name, size and CRC-32 of each are checked. What fails is tried again, from the member on that was not yet given.

        Raises:
            DamagedMemberError: If a member stays wrong, try after try.
            ValueError: If the archive is not the one it was at first.
            OSError: If it cannot be read, try after try.
        """
        again = retrying()
        for run in _runs(members):
            part = self._parts[run[0].part]
            with ForwardReader(part.source, run[-1].end) as reader:
                for member in run:
                    yield member, again(read_member, reader, part, member)


def open_archive(source: ByteSource) -> Archive:
    """Reads what is in an archive, and refuses one that means harm (`rules`).

    The members of an archive `x.zip` in the archive are placed in the folder `x`, unless they lie in a folder of that name
    already. It is read in place if it is stored as it is, or else unpacked to disk first. It may hold no further archive.

    Raises:
        ValueError: If it is no ZIP archive, is damaged, or holds what is refused.
        OSError: If it cannot be read, or the disk has no room for an archive that lies in it.
    """
    directory = read_directory(source)
    members = [member for member in directory.members if not is_nested_archive(member.name)]
    parts = [Part(source)]
    for outer in directory.members:
        if is_nested_archive(outer.name):
            nested = _open_nested(parts[0], outer, directory.validator)
            members += _nested_members(nested, len(parts))
            parts.append(nested)
    _check_names(source.name, members)
    check_total(source.name, sum(member.num_bytes for member in members), source.num_bytes)
    return Archive(directory.validator, members, parts)


def _open_nested(part: Part, outer: Member, validator: str) -> Part:
    folder = nested_folder(outer.name)
    if outer.method == zipfile.ZIP_STORED:
        with ForwardReader(part.source, min(outer.end, outer.offset + MAX_HEADER_BYTES)) as reader:
            start = retrying()(find_content, reader, part, outer)
        return Part(Slice(part.source, start, outer.num_bytes, outer.name), folder)
    key = hashlib.sha256(f"{validator}\0{outer.name}".encode()).hexdigest()
    return Part(keep(key, outer.name, inflated_pieces(part, outer), outer.num_bytes), folder)


def _nested_members(part: Part, number: int) -> list[Member]:
    members = read_directory(part.source, number, part.folder).members
    for member in members:
        if is_nested_archive(member.name):
            raise refusal(part.source.name, member.name, "is an archive in an archive in an archive: expected no third one")
    return members


def _check_names(archive: str, members: Iterable[Member]) -> None:
    names = set()
    for member in members:
        if member.name in names:
            raise refusal(archive, member.name, "is not the only one of its name")
        names.add(member.name)


def _runs(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Members in the order of their places, split where what lies between two is not worth fetching."""
    run: list[Member] = []
    for member in sorted(members, key=lambda member: (member.part, member.offset)):
        if run and (member.part != run[-1].part or member.offset - run[-1].end > LONGEST_SKIP_BYTES):
            yield run
            run = []
        run.append(member)
    if run:
        yield run
