"""Fixtures for reading archives over a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from components.ingest.archive import remote, retry
from components.ingest.archive.byte_source import LocalFile
from components.ingest.archive.spool import Spool
from components.ingest.archive.zip_archive import Archive, open_archive
from tests.components.ingest.competition import PADDING, folder_files, signed_in
from tests.components.ingest.fault_server import FaultServer
from tests.components.ingest.kaggle_server import KaggleServer
from tests.components.ingest.zip_files import make_zip

Serve = Callable[[bytes], FaultServer]
OpenZip = Callable[[bytes], Archive]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keeps the content of archives out of test names."""
    return argname if isinstance(val, bytes) and len(val) > 20 else None


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a file on loopback until the test ends."""
    with ExitStack() as servers:
        yield lambda content: servers.enter_context(FaultServer(content))


@pytest.fixture
def server(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """Serves a competition's archive of the module's `cells`, to a user who is signed in."""
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        server.archive.write_bytes(make_zip([*folder_files(cells), PADDING]))
        yield server


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries as often as usual, with hardly any wait."""
    monkeypatch.setattr(retry, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retry, "LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(remote, "READ_TIMEOUT_S", 0.5)


@pytest.fixture
def spool_dir(temporary: Path) -> Path:
    """The folder below which the spool folder is created."""
    return temporary


@pytest.fixture
def spool(spool_dir: Path) -> Iterator[Spool]:
    """The spool of a source."""
    with Spool("source") as spool:
        yield spool


@pytest.fixture
def open_zip(tmp_path: Path, spool: Spool) -> OpenZip:
    """Opens an archive on disk."""

    def open_it(data: bytes) -> Archive:
        (tmp_path / "archive.zip").write_bytes(data)
        return open_archive(LocalFile(tmp_path / "archive.zip", "The archive"), spool)

    return open_it
