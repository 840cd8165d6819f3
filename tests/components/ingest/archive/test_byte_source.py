from collections.abc import Callable
from pathlib import Path

import pytest

from components.ingest.archive.byte_source import LONGEST_SKIP_BYTES, LocalFile, RangeFile, Slice, read_range
from components.ingest.archive.remote import RemoteFile
from tests.components.ingest.fault_server import Fault, FaultServer

pytestmark = pytest.mark.usefixtures("quick_retries")

Serve = Callable[[bytes], FaultServer]

_CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def file(tmp_path: Path) -> LocalFile:
    (tmp_path / "file").write_bytes(_CONTENT)
    return LocalFile(tmp_path / "file")


class TestLocalFile:
    def test_reads_any_part_in_order(self, file: LocalFile) -> None:
        assert file.num_bytes == len(_CONTENT)
        with file.stream(5, 20) as read, file.stream(300, 310) as other:
            assert read(5) == _CONTENT[5:10]
            assert other(10) == _CONTENT[300:310]
            assert read(10) == _CONTENT[10:20]

    def test_deleted_file_stays_readable(self, file: LocalFile, tmp_path: Path) -> None:
        (tmp_path / "file").unlink()
        assert read_range(file, 0, file.num_bytes) == _CONTENT

    def test_truncation_is_reported(self, file: LocalFile, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(_CONTENT[:12])
        with pytest.raises(OSError, match=r"file: expected 5 bytes at offset 10\. Received: 2 bytes"):
            read_range(file, 10, 15)


def test_slice_of_a_slice_adds_the_offsets(file: LocalFile) -> None:
    part = Slice(file, 100, 50, "part")
    assert read_range(part, 10, 20) == _CONTENT[110:120]
    assert read_range(Slice(part, 10, 5, "part of it"), 1, 5) == _CONTENT[111:115]


def test_read_range_retries_transient_errors(serve: Serve) -> None:
    server = serve(_CONTENT)
    server.faults.extend([Fault(status=503), Fault(cut_after=3), Fault(cut_after=4, ending="close")])
    assert read_range(RemoteFile(server.find_address), 7, 77) == _CONTENT[7:77]
    assert len(server.requests) == 4


class TestRangeFile:
    def test_small_gap_is_skipped_within_one_stream(self, serve: Serve) -> None:
        server = serve(_CONTENT)
        with RangeFile(RemoteFile(server.find_address)) as file:
            for offset in (10, 60, 120, 170 + LONGEST_SKIP_BYTES):
                file.seek(offset)
                assert file.read(50) == _CONTENT[offset : offset + 50]
        assert [request.start for request in server.requests] == [10]

    @pytest.mark.parametrize("offset", [0, 60 + LONGEST_SKIP_BYTES + 1])
    def test_seeking_back_or_far_opens_another_stream(self, serve: Serve, offset: int) -> None:
        server = serve(_CONTENT)
        with RangeFile(RemoteFile(server.find_address)) as file:
            file.seek(10)
            assert file.read(50) == _CONTENT[10:60]
            file.seek(offset)
            assert file.read(50) == _CONTENT[offset : offset + 50]
        assert [request.start for request in server.requests] == [10, offset]

    def test_failure_opens_another_stream(self, serve: Serve) -> None:
        server = serve(_CONTENT)
        server.faults.append(Fault(cut_after=30))
        with RangeFile(RemoteFile(server.find_address)) as file:
            file.seek(10)
            with pytest.raises(OSError, match="was interrupted"):
                file.read(50)
            file.seek(10)
            assert file.read(50) == _CONTENT[10:60]
        assert [request.start for request in server.requests] == [10, 10]
