import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from components.ingest.archive import retry
from components.ingest.archive.byte_source import LocalFile, read_range
from components.ingest.archive.remote import Address, RemoteFile
from components.ingest.archive.retry import TransientError
from components.ingest.archive.spool import Spool
from components.runtime.scratch import find_left
from tests.components.ingest.fault_server import Fault, FaultServer

pytestmark = pytest.mark.usefixtures("quick_retries")

Serve = Callable[[bytes], FaultServer]

_ROOT = Path(__file__).parents[4]
_CONTENT = bytes(range(256)) * (10 << 10)  # 2.5 MiB


@pytest.fixture
def server(serve: Serve) -> FaultServer:
    server = serve(_CONTENT)
    server.serves_ranges = False
    return server


def _names(spool_dir: Path) -> list[str]:
    """The names of all files in the spool folder."""
    return sorted(path.name for path in spool_dir.glob("*/*/*"))


def _whole(source: LocalFile) -> bytes:
    return read_range(source, 0, source.num_bytes)


def test_file_served_in_ranges_is_not_copied(serve: Serve, spool_dir: Path) -> None:
    server = serve(_CONTENT)
    file = RemoteFile(server.find_address)
    assert Spool("source").readable(file) is file
    assert not list(spool_dir.iterdir())


def test_file_not_served_in_ranges_is_downloaded(
    server: FaultServer, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "components"):
        source = Spool("source").readable(RemoteFile(server.find_address))
    assert isinstance(source, LocalFile)
    assert read_range(source, 1000, 2_000_000) == _CONTENT[1000:2_000_000]
    assert _whole(source) == _CONTENT
    assert "the server does not support range requests: downloading 2.6 MB of the archive to " in caplog.text
    assert _names(spool_dir) == ["archive.zip", "lock", "writer.lock"]
    assert f"{spool_dir}/" in source.name


def test_folder_is_private(server: FaultServer, spool_dir: Path) -> None:
    Spool("source").download(RemoteFile(server.find_address))
    (folder,) = spool_dir.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_copy_is_reused(server: FaultServer, spool_dir: Path) -> None:
    Spool("source").download(RemoteFile(server.find_address))
    num_requests = len(server.requests)
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == _CONTENT
    assert len(server.requests) == num_requests


@pytest.mark.parametrize("change", ["etag", "size"])
def test_copy_of_other_content_is_not_reused(server: FaultServer, spool_dir: Path, change: str) -> None:
    Spool("source").download(RemoteFile(server.find_address))
    server.content = _CONTENT[::-1] + (b"more" if change == "size" else b"")
    server.etag = '"second"' if change == "etag" else server.etag
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == server.content


def test_copy_without_an_etag_is_not_reused(server: FaultServer, spool_dir: Path) -> None:
    server.etag = ""
    first = Spool("source").download(RemoteFile(server.find_address))
    server.content = _CONTENT[::-1]
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == server.content
    assert _whole(first) == _CONTENT
    assert _names(spool_dir) == ["lock", "writer.lock"]


def test_download_without_an_etag_is_not_resumed(server: FaultServer, spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.etag = ""
    server.serves_ranges = True
    with monkeypatch.context() as patch:
        patch.setattr(retry, "TRIES", 1)
        server.faults.append(Fault(cut_after=2_200_000, ending="close"))
        with pytest.raises(TransientError, match="was interrupted"):
            Spool("source").download(RemoteFile(server.find_address))
    server.content = _CONTENT[::-1]
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == server.content


@pytest.mark.parametrize("etag", ['"first"', ""])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(cut_after=1_500_000),
        Fault(cut_after=1_500_000, ending="close"),
        Fault(cut_after=1_500_000, ending="stall"),
        Fault(status=503),
    ],
)
def test_download_survives_transient_faults(server: FaultServer, spool_dir: Path, fault: Fault, etag: str) -> None:
    server.etag = etag
    server.faults.extend([fault, fault])
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == _CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize("serves_ranges", [True, False])
def test_interrupted_download_is_resumed(
    server: FaultServer, spool_dir: Path, monkeypatch: pytest.MonkeyPatch, serves_ranges: bool
) -> None:
    file = RemoteFile(server.find_address)
    with monkeypatch.context() as patch:
        patch.setattr(retry, "TRIES", 1)
        server.faults.append(Fault(cut_after=2_200_000, ending="close"))  # a reset may discard data that was sent
        with pytest.raises(TransientError, match="was interrupted"):
            Spool("source").download(file)
    assert _names(spool_dir) == ["archive.partial", "lock", "writer.lock"]
    server.serves_ranges = serves_ranges
    server.requests.clear()
    assert _whole(Spool("source").download(file)) == _CONTENT
    assert [request.start for request in server.requests] == [2 << 20]
    assert _names(spool_dir) == ["archive.zip", "lock", "writer.lock"]


def test_killed_download_is_resumed(server: FaultServer, spool_dir: Path) -> None:
    server.always = Fault(cut_after=2_200_000, ending="stall")
    script = f"""if True:
        from components.ingest.archive.remote import Address, RemoteFile
        from components.ingest.archive.spool import Spool
        address = Address({server.find_address().url!r}, {server.etag!r}, {len(_CONTENT)})
        Spool("source").download(RemoteFile(lambda: address))
    """
    with subprocess.Popen([sys.executable, "-c", script], cwd=_ROOT, env={**os.environ, "TMPDIR": str(spool_dir)}) as process:
        try:
            assert server.stalled.wait(60)
            while not [path for path in spool_dir.glob("*/*/*.partial") if path.stat().st_size == 2 << 20]:
                assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
    server.always = None
    server.serves_ranges = True
    server.requests.clear()
    assert _whole(Spool("source").download(RemoteFile(server.find_address))) == _CONTENT
    assert [request.start for request in server.requests] == [2 << 20]


def _fail(server: FaultServer, source: str, error: BaseException) -> None:
    with Spool(source) as spool:
        spool.download(RemoteFile(server.find_address))
        raise error


class TestCleanup:
    def test_removes_the_copies(self, server: FaultServer, spool_dir: Path) -> None:
        with Spool("source") as spool:
            copy = spool.download(RemoteFile(server.find_address))
            spool.keep("key", "train.zip", [b"ab"], 2)
        assert list(spool_dir.iterdir()) == []
        assert _whole(copy) == _CONTENT

    def test_removes_the_copies_after_a_refusal(self, server: FaultServer, spool_dir: Path) -> None:
        with pytest.raises(ValueError, match="refused"):
            _fail(server, "source", ValueError("refused"))
        assert list(spool_dir.iterdir()) == []

    @pytest.mark.parametrize("interruption", [OSError, KeyboardInterrupt, SystemExit])
    def test_keeps_the_copies_after_an_interruption(
        self, server: FaultServer, spool_dir: Path, interruption: type[BaseException]
    ) -> None:
        with pytest.raises(interruption):
            _fail(server, "source", interruption())
        assert _names(spool_dir) == ["archive.zip", "lock", "writer.lock"]
        server.etag = '"second"'
        with Spool("source") as spool:
            spool.download(RemoteFile(server.find_address))
        assert list(spool_dir.iterdir()) == []

    def test_keeps_the_copies_of_other_sources_and_of_other_readers(self, server: FaultServer, spool_dir: Path) -> None:
        with pytest.raises(OSError, match="interrupted"):
            _fail(server, "other", OSError("interrupted"))
        with Spool("source") as first:
            first.download(RemoteFile(server.find_address))
            with Spool("source") as second:
                second.download(RemoteFile(server.find_address))
            assert _names(spool_dir) == ["archive.zip", "archive.zip", "lock", "lock", "writer.lock", "writer.lock"]
        assert _names(spool_dir) == ["archive.zip", "lock", "writer.lock"]
        assert [place.name.partition(".")[0] for place in find_left()] == ["other"]


def test_concurrent_runs_download_only_once(server: FaultServer, spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has the folder before any of them has the copy."""
    server.always = Fault(piece_bytes=200_000)
    together, flock = threading.Barrier(2), fcntl.flock

    def lock_together(descriptor: BinaryIO | int, operation: int) -> None:
        flock(descriptor, operation)
        if operation == fcntl.LOCK_SH:
            together.wait(60)

    monkeypatch.setattr(fcntl, "flock", lock_together)
    with ThreadPoolExecutor(2) as pool:
        copies = list(pool.map(lambda _: Spool("source").download(RemoteFile(server.find_address)), range(2)))
    assert [_whole(copy) for copy in copies] == [_CONTENT] * 2
    assert len(server.requests) == 1


def test_download_without_enough_space_is_refused(server: FaultServer, spool_dir: Path) -> None:
    url = server.find_address().url
    file = RemoteFile(lambda: Address(url, '"etag"', 10**17))
    with pytest.raises(OSError, match=r"expected 100000000 GB of free space\. Received: [\d.]+ GB\. .*TMPDIR"):
        Spool("source").download(file)
    assert not server.requests


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_folder_of_unknown_origin_is_refused(server: FaultServer, spool_dir: Path, tmp_path: Path, kind: str) -> None:
    Spool("source").download(RemoteFile(server.find_address))
    (folder,) = spool_dir.iterdir()
    folder.rename(tmp_path / "theirs")
    if kind == "open":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "link":
        folder.symlink_to(tmp_path / "theirs")
    else:
        folder.touch()
    with pytest.raises(PermissionError, match=rf"{re.escape(str(folder))}: expected a folder of the user \d+ .*set TMPDIR"):
        Spool("source").download(RemoteFile(server.find_address))


class TestKept:
    def test_file_is_reused(self, spool_dir: Path) -> None:
        def none() -> Iterator[bytes]:
            pytest.fail("the pieces were taken again")
            yield b""

        assert _whole(Spool("source").keep("key", "train.zip", [b"ab", b"", b"cde"], 5)) == b"abcde"
        assert _whole(Spool("source").keep("key", "train.zip", none(), 5)) == b"abcde"
        assert _whole(Spool("source").keep("other", "train.zip", [b"x"], 1)) == b"x"

    def test_failure_leaves_no_file(self, spool_dir: Path) -> None:
        def failing() -> Iterator[bytes]:
            yield b"ab"
            raise ValueError("damaged")

        with pytest.raises(ValueError, match="damaged"):
            Spool("source").keep("key", "train.zip", failing(), 5)
        assert _whole(Spool("source").keep("key", "train.zip", [b"abcde"], 5)) == b"abcde"

    def test_not_enough_space_is_refused(self, spool_dir: Path) -> None:
        with pytest.raises(OSError, match="GB of free space"):
            Spool("source").keep("key", "train.zip", [], 10**17)

    def test_full_disk_error_names_the_file(self, spool_dir: Path) -> None:
        script = """if True:
            import resource, signal
            from components.ingest.archive.spool import Spool
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
            Spool("source").keep("key", "train.zip", [bytes(600_000)] * 2, 1_200_000)
        """
        environment = {**os.environ, "TMPDIR": str(spool_dir)}
        ended = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, env=environment, capture_output=True, check=False)
        assert re.search(rb"OSError: \[Errno 27\] File too large: '.*/archive\.partial", ended.stderr)
        assert _names(spool_dir) == ["lock", "writer.lock"]
