import stat
import struct
import zipfile
from collections.abc import Callable, Iterator

import pytest

from components.ingest.archive.rules import MAX_MEMBER_BYTES
from components.ingest.archive.zip_archive import Archive
from tests.components.ingest.zip_files import make_huge_zip, make_zip, member_info, with_end, with_entry

pytestmark = pytest.mark.usefixtures("quick_retries", "spool_dir")

OpenZip = Callable[[bytes], Archive]

_STORED = make_zip([("a.png", b"first"), ("b.png", b"second")])
_DEFLATED = make_zip([("a.png", b"first" * 100), ("b.png", b"second" * 100)], zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "train/../../a.png",
        "train/..",
        "..",
        "/etc/a.png",
        "//a.png",
        "C:a.png",
        "c:/a.png",
        "train\\a.png",
        "..\\a.png",
        "./a.png",
        "train//a.png",
        "a\n.png",
        "a\x7f.png",
        "",
        "...zip",
        "train/.zip",
        ".zip",
    ],
)
def test_unsafe_names_are_refused(open_zip: OpenZip, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"^The archive is refused: its member .* does not have a plain relative path"
    ) as caught:
        open_zip(make_zip([("a.png", b"first"), (name, b"second")]))
    assert repr(name) in str(caught.value)


def test_name_with_a_zero_byte_is_refused(open_zip: OpenZip) -> None:
    with pytest.raises(ValueError, match=r"its member 'a.x00png' does not have a plain relative path"):
        open_zip(_STORED.replace(b"a.png", b"a\0png"))


@pytest.mark.parametrize(
    "name", ["...", "..a", "a..", "train/a b.png", "train.d/-a.png", "~/a.png", "ab:c", "日本/é.png", "x" * 300]
)
def test_unusual_names_are_accepted(open_zip: OpenZip, name: str) -> None:
    archive = open_zip(make_zip([(name, b"content")]))
    assert [(member.name, data) for member, data in archive.read(archive.members)] == [(name, b"content")]


def test_long_name_is_shortened_in_the_error(open_zip: OpenZip) -> None:
    with pytest.raises(ValueError, match=r"its member '/x{99}\.\.\.' does not"):
        open_zip(make_zip([("/" + "x" * 60_000, b"content")]))


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644])
def test_links_and_special_files_are_refused(open_zip: OpenZip, mode: int) -> None:
    with pytest.raises(ValueError, match=r"its member 'link' is a symbolic link or another special file: [lpc]rw"):
        open_zip(make_zip([("a.png", b"first"), (member_info("link", mode=mode), b"/etc/passwd")]))


def test_duplicate_names_are_refused(open_zip: OpenZip) -> None:
    with pytest.raises(ValueError, match=r"its member 'a\.png' has the same name as another one"):
        open_zip(_STORED.replace(b"b.png", b"a.png"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_STORED.replace(b"a.png", b"\x82.png"), "has a name in an unknown encoding: expected UTF-8"),
        (
            with_entry(_STORED.replace(b"a.png", b"\xff.png"), 0, flags=1 << 11),
            r"'..xff\.png' has a name that is flagged as UTF-8 but is not",
        ),
        (with_entry(_STORED, 1, flags=1), r"'b\.png' is encrypted"),
        (with_entry(_STORED, 1, flags=1 << 6 | 1), r"'b\.png' is encrypted"),
        (with_entry(_STORED, 1, flags=1 << 5), "is compressed by method 0"),
        (make_zip([("a.png", b"first")], zipfile.ZIP_BZIP2), r"is compressed by method 12: expected 0 \(stored\) or 8"),
        (make_zip([("a.png", b"first")], zipfile.ZIP_LZMA), "is compressed by method 14"),
        (with_entry(_STORED, 0, method=99), "is compressed by method 99"),
        (with_entry(_STORED, 0, disk=1), "is in another file of a multi-part archive"),
        (with_entry(_STORED, 0, size=6), "is stored uncompressed in 5 bytes, but should have 6"),
        (make_zip([("folder/", b"content")]), "is a folder of 7 bytes: expected none"),
    ],
)
def test_unsupported_members_are_refused(open_zip: OpenZip, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^The archive is refused: its member .*{message}"):
        open_zip(data)


class TestBomb:
    def test_member_with_a_huge_ratio_is_refused(self, open_zip: OpenZip) -> None:
        with pytest.raises(ValueError, match=r"its member 'a' grows from \d+ to 2000000 bytes: expected at most 100 times"):
            open_zip(make_zip([("a", bytes(2_000_000))], zipfile.ZIP_DEFLATED))

    @pytest.mark.parametrize("field", ["size", "compressed"])
    def test_member_of_huge_size_is_refused(self, open_zip: OpenZip, field: str) -> None:
        with pytest.raises(
            ValueError, match=rf"'a\.png' has {MAX_MEMBER_BYTES + 1} bytes: expected at most {MAX_MEMBER_BYTES}"
        ):
            open_zip(with_entry(_DEFLATED, 0, **{field: MAX_MEMBER_BYTES + 1}))

    def test_huge_total_size_is_refused(self, open_zip: OpenZip) -> None:
        data = make_zip([(f"{k}.png", bytes(1 << 20)) for k in range(65)], zipfile.ZIP_DEFLATED)
        with pytest.raises(
            ValueError, match=rf"expected contents of at most 10 times its size, {len(data)} bytes\. Received: {65 << 20}"
        ):
            open_zip(data)

    def test_small_member_with_a_high_ratio_is_accepted(self, open_zip: OpenZip) -> None:
        archive = open_zip(make_zip([("black.png", bytes(1 << 20))], zipfile.ZIP_DEFLATED))
        assert [len(data) for _, data in archive.read(archive.members)] == [1 << 20]

    def test_nested_archive_is_refused_before_it_is_unpacked(self, open_zip: OpenZip) -> None:
        with pytest.raises(
            ValueError, match=r"its member 'train\.zip' grows from \d+ to 2000000 bytes: expected at most 10 times"
        ):
            open_zip(make_zip([("train.zip", bytes(2_000_000))], zipfile.ZIP_DEFLATED))


def _tiny_names(num_members: int) -> Iterator[bytes]:
    return (b"%08d" % k for k in range(num_members))


class TestTinyMembers:
    def test_too_many_are_refused(self, open_zip: OpenZip) -> None:
        with pytest.raises(ValueError, match=r"expected at most 500000 members .*Received: 1000000 in 54000000 bytes"):
            open_zip(make_huge_zip(_tiny_names(1_000_000)))

    def test_wrong_number_in_the_end_record_is_refused(self, open_zip: OpenZip) -> None:
        data = make_huge_zip(_tiny_names(1000))[:-98]
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, 54 * 1000, 38 * 1000, 0)
        with pytest.raises(
            ValueError, match=r"expected, .* 3 of 3 members in 54000 bytes .* Received: .* 1000 of 1000 members in 54000 bytes"
        ):
            open_zip(data + end)

    def test_many_are_accepted(self, open_zip: OpenZip) -> None:
        assert len(open_zip(make_huge_zip(_tiny_names(1000))).members) == 1000

    def test_too_large_directory_is_refused(self, open_zip: OpenZip) -> None:
        with pytest.raises(ValueError, match=r"a directory of at most 67108864 bytes\. Received: many in 67108865 bytes"):
            open_zip(with_end(bytes(67108865) + _STORED[-22:], 2, 2, 67108865, 0))
