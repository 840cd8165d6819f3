"""Real images and object stores, for the tests of every package."""

import gc
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.storage import gcs as gcs_storage
from tests.gcs_servers import BUCKET, Faults, fake_gcs_server, find_fake_gcs_server, gcs_emulator


@pytest.fixture(scope="session")
def hpa_dir() -> Path:
    """Samples of the competition with its whole label file, in the folder that HPA_SAMPLES names."""
    named = os.environ.get("HPA_SAMPLES")
    if not named:
        pytest.skip("needs HPA_SAMPLES=<folder with train.csv and train/ of the competition>")
    folder = Path(named).resolve()
    assert (folder / "train.csv").is_file(), f"HPA_SAMPLES: there is no train.csv in {folder}"
    return folder


@pytest.fixture(scope="session")
def _emulator() -> Iterator[str]:
    with gcs_emulator() as address:
        yield address


@pytest.fixture(scope="session")
def _fake_server() -> Iterator[str]:
    if find_fake_gcs_server() is None:
        pytest.skip("needs fake-gcs-server: make servers builds it where Go is installed")
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
