import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.archive.byte_source import LocalFile
from components.ingest.archive.directory import read_directory
from components.ingest.archive.remote import RemoteFile
from components.ingest.archive.spool import Spool
from components.ingest.archive.zip_archive import Archive, open_archive
from tests.components.ingest.fault_server import Fault, FaultServer
from tests.components.ingest.zip_files import directory_start, make_huge_zip, make_zip, with_end, with_entry

pytestmark = pytest.mark.usefixtures("quick_retries", "spool_dir")

OpenZip = Callable[[bytes], Archive]
Serve = Callable[[bytes], FaultServer]

_ROOT = Path(__file__).parents[4]
_SMALL = make_zip([("a.png", b"first"), ("b.png", b"second")])
_START = directory_start(_SMALL)
_NUM_BYTES = len(_SMALL) - 22 - _START
_END = _SMALL[-22:]


def _without_entry(data: bytes, number: int) -> bytes:
    """An archive whose member with a one-letter name was deleted from the directory alone, as some programs do."""
    start, size = directory_start(data), 46 + 1
    entries = data[start:-22]
    kept = entries[: number * size] + entries[(number + 1) * size :]
    num_kept = len(kept) // size
    return with_end(data[:start] + kept + data[-22:], num_kept, num_kept, len(kept), start)


@pytest.fixture
def small_zip64(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive with the directory and end records of a huge one."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 4)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    return make_zip([("a.png", b"first"), ("b.png", b"second"), ("c.png", b"")], has_zip64=True)


class TestZip64:
    def test_directory_and_members_are_read(self, open_zip: OpenZip, small_zip64: bytes) -> None:
        assert b"PK\6\6" in small_zip64
        archive = open_zip(small_zip64)
        assert dict(archive.read(archive.members)) == dict(zip(archive.members, [b"first", b"second", b""], strict=True))
        assert [member.num_bytes for member in archive.members] == [5, 6, 0]

    def test_a_member_beyond_4_gb_is_read(self, tmp_path: Path, spool: Spool) -> None:
        path = tmp_path / "archive.zip"
        with path.open("wb") as file:
            file.seek(5 << 30)  # a hole, which takes no disk space
            with zipfile.ZipFile(file, "w") as writer:
                writer.writestr("a.png", b"first")
        archive = open_archive(LocalFile(path), spool)
        (member,) = archive.members
        assert member.offset == 5 << 30
        assert list(archive.read([member])) == [(member, b"first")]

    @pytest.mark.parametrize("length", [0, 8, 15])
    def test_a_damaged_zip64_extra_field_is_refused(self, open_zip: OpenZip, small_zip64: bytes, length: int) -> None:
        position = small_zip64.index(b"PK\1\2")
        data = bytearray(small_zip64)
        struct.pack_into("<H", data, position + 46 + 5 + 2, length)  # the field's own length
        with pytest.raises(
            ValueError, match=r"The archive is not a ZIP archive, or is damaged or incomplete: Corrupt zip64 extra field"
        ):
            open_zip(bytes(data))

    @pytest.mark.parametrize("what", [b"PK\6\6", b"PK\6\7"])
    def test_a_missing_end_record_or_locator_is_refused(self, open_zip: OpenZip, small_zip64: bytes, what: bytes) -> None:
        with pytest.raises(
            ValueError, match=r"The archive is not a ZIP archive, or is damaged or incomplete: (Bad magic|Corrupt zip64)"
        ):
            open_zip(small_zip64.replace(what, b"nono"))

    def test_a_wrong_locator_is_refused(self, open_zip: OpenZip, small_zip64: bytes) -> None:
        data = bytearray(small_zip64)
        struct.pack_into("<Q", data, small_zip64.index(b"PK\6\7") + 8, 0)
        with pytest.raises(
            ValueError, match=r"The archive is damaged or incomplete: expected, by its end record, .* at offset 0 in"
        ):
            open_zip(bytes(data))


class TestDamage:
    @pytest.mark.parametrize("data", [b"", b"PK", b"<html>Sign in</html>" * 5000, _SMALL[:-22], _SMALL[:-1], _END[:21]])
    def test_a_file_that_is_not_an_archive_is_refused(self, open_zip: OpenZip, data: bytes) -> None:
        with pytest.raises(
            ValueError, match="The archive is not a ZIP archive, or is damaged or incomplete: File is not a zip file"
        ):
            open_zip(data)

    @pytest.mark.parametrize(
        "data",
        [
            _SMALL[: _START + 50] + _END,
            _SMALL[:_START] + _END,
            _SMALL[:_START] + _SMALL[_START + 1 :],
            with_end(_SMALL, 2, 2, _NUM_BYTES + 1, _START),
            with_end(_SMALL, 2, 2, _NUM_BYTES - 1, _START + 1),
            with_end(_SMALL, 2, 2, 0xFFFFFFFF, 0xFFFFFFFF),
            with_entry(_SMALL, 0, extra_length=60000),
        ],
    )
    def test_damage_that_zipfile_finds_is_refused(self, open_zip: OpenZip, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"^The archive is not a ZIP archive, or is damaged or incomplete: [BCT]\w+ "):
            open_zip(data)

    @pytest.mark.parametrize(
        "data",
        [
            b"x" + _SMALL,
            _SMALL + b"x",
            _SMALL[:-2] + b"\5\0",
            _SMALL.replace(b"PK\5\6\0\0\0\0", b"PK\5\6\1\0\1\0"),
            with_end(_SMALL, 2, 2, _NUM_BYTES, _START + 1),
            with_end(_SMALL, 1, 1, _NUM_BYTES, _START),
            with_end(_SMALL, 3, 3, _NUM_BYTES, _START),
            with_end(_SMALL, 1, 2, _NUM_BYTES, _START),
        ],
    )
    def test_damage_that_zipfile_ignores_is_refused(self, open_zip: OpenZip, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)):
            pass
        with pytest.raises(ValueError, match=r"^The archive is damaged or incomplete: expected, by its end record, "):
            open_zip(data)

    def test_truncated_last_extra_field_is_accepted(self, open_zip: OpenZip) -> None:
        archive = open_zip(with_entry(_SMALL, 1, extra_length=1))
        assert [data for _, data in archive.read(archive.members)] == [b"first", b"second"]

    def test_unknown_format_version_is_refused(self, open_zip: OpenZip) -> None:
        with pytest.raises(ValueError, match=r"or is damaged or incomplete: zip file version 9\.9"):
            open_zip(with_entry(_SMALL, 0, version=99))


class TestOverlap:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (with_entry(_SMALL, 1, offset=0), r"'a\.png' overlaps 'b\.png': it ends at byte 40, beyond that one's start at 0"),
            (with_entry(_SMALL, 1, offset=39), r"'a\.png' overlaps 'b\.png': .* at byte 40, beyond that one's start at 39"),
            (with_entry(_SMALL, 0, compressed=6, size=6), r"'a\.png' overlaps 'b\.png'"),
            (with_entry(_SMALL, 1, compressed=7, size=7), r"'b\.png' overlaps the archive's directory: it ends at byte 82"),
            (with_entry(_SMALL, 1, offset=_START), r"'b\.png' overlaps the archive's directory"),
            (with_entry(_SMALL, 0, offset=0xFFFFFFFF), r"'a\.png' overlaps the archive's directory"),
            (with_entry(_SMALL, 1, offset=0xFFFFFFFE), r"'b\.png' overlaps the archive's directory"),
        ],
    )
    def test_overlap_is_refused(self, open_zip: OpenZip, data: bytes, message: str) -> None:
        with pytest.raises(ValueError, match=rf"^The archive is refused: its member {message}"):
            open_zip(data)

    def test_gap_is_accepted(self, open_zip: OpenZip) -> None:
        archive = open_zip(_without_entry(make_zip([("a", b"first"), ("b", b"second"), ("c", b"third")]), 1))
        first, last = archive.members
        assert (first.offset, first.end, last.offset) == (0, last.offset, 36 + 37)
        assert [data for _, data in archive.read(archive.members)] == [b"first", b"third"]


class TestRequests:
    def test_small_directory_takes_one_request(self, serve: Serve) -> None:
        server = serve(_SMALL)
        assert len(read_directory(RemoteFile(server.find_address)).members) == 2
        assert len(server.requests) == 1

    def test_large_directory_takes_two_requests(self, serve: Serve) -> None:
        server = serve(make_zip([(f"train/{k:0200}.png", b"") for k in range(1000)]))
        assert len(read_directory(RemoteFile(server.find_address)).members) == 1000
        assert len(server.requests) == 2

    @pytest.mark.parametrize("fault", [Fault(cut_after=10), Fault(status=503), Fault(cut_after=10, ending="stall")])
    def test_failed_requests_are_retried(self, serve: Serve, fault: Fault) -> None:
        server = serve(make_zip([(f"train/{k:0200}.png", b"") for k in range(1000)]))
        server.faults.extend([fault, None, fault])
        assert len(read_directory(RemoteFile(server.find_address)).members) == 1000


def test_memory_for_a_huge_directory_is_bounded(tmp_path: Path) -> None:
    """As many members as in the competition's archive, with names of the same length."""
    path = tmp_path / "archive.zip"
    path.write_bytes(make_huge_zip(b"train/%036d_yellow.png" % k for k in range(172_000)))
    script = """if True:
        import re, sys
        from pathlib import Path
        from components.ingest.archive.spool import Spool
        from components.ingest.archive.zip_archive import open_archive
        from components.ingest.archive.byte_source import LocalFile
        def peak_kb():
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
        before_kb = peak_kb()
        assert len(open_archive(LocalFile(Path(sys.argv[1])), Spool("source")).members) == 172_000
        print(peak_kb() - before_kb)
    """
    grown_kb = int(subprocess.check_output([sys.executable, "-c", script, path], cwd=_ROOT))
    assert grown_kb < 120_000
