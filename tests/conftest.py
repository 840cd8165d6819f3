"""Object stores for the tests of every step."""

import gc
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.storage import gcs as gcs_storage
from tests.gcs_servers import BUCKET, Faults, fake_gcs_server, find_fake_gcs_server, gcs_emulator


@pytest.fixture(scope="session")
def _emulator() -> Iterator[str]:
    with gcs_emulator() as address:
        yield address


@pytest.fixture(scope="session")
def _fake_server() -> Iterator[str]:
    if find_fake_gcs_server() is None:
        pytest.skip("needs fake-gcs-server: make test-gcs installs it where Go is at hand")
    with fake_gcs_server() as address:
        yield address


def _use(monkeypatch: pytest.MonkeyPatch, address: str) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    gcs_storage.close()  # a client of another store is of no use
    return f"gs://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def local_root(tmp_path: Path) -> str:
    """A folder of this machine that does not exist yet."""
    return str(tmp_path / "root")


@pytest.fixture
def emulated_root(monkeypatch: pytest.MonkeyPatch, _emulator: str) -> str:
    """An empty place in an object store that ignores preconditions and ranges."""
    return _use(monkeypatch, _emulator)


@pytest.fixture
def gcs_root(monkeypatch: pytest.MonkeyPatch, _fake_server: str) -> str:
    """An empty place in an object store that honours preconditions and ranges."""
    return _use(monkeypatch, _fake_server)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, gcs_root: str, _fake_server: str) -> Iterator[Faults]:
    """Stands between the client and the store of `gcs_root`."""
    with Faults(_fake_server) as proxy:
        _use(monkeypatch, proxy.address)
        yield proxy
        proxy.shutdown()
    gcs_storage.close()
    with warnings.catch_warnings():  # the client leaves connections that failed to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within moments what `faults` disturbs."""
    monkeypatch.setattr(gcs_storage, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(10))
