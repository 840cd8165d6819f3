"""Real images and object stores, for the tests of every package."""

import gc
import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.storage import gcs as gcs_storage
from components.storage import s3_requests
from components.storage.probe import probe
from tests.object_stores import BUCKET, Faults, fake_gcs_server, find_server, gcs_emulator, s3_environment, versitygw

# The fixtures of object stores that honour conditional writes.
OBJECT_STORES = [pytest.param(name, marks=pytest.mark.object_store) for name in ("gcs_root", "s3_root")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the longest tests first, so that no worker process idles at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which this process and its children create their temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


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
    _require_server("fake-gcs-server")
    with fake_gcs_server() as address:
        yield address


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    _require_server("versitygw")
    with versitygw() as address:
        yield address


def _require_server(name: str) -> None:
    if find_server(name) is None:
        pytest.skip(f"needs {name}: make servers builds it where Go is installed")


def _use(monkeypatch: pytest.MonkeyPatch, address: str) -> str:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    gcs_storage.close()  # a cached client may be of another store
    return f"gs://{BUCKET}/{uuid.uuid4().hex}"


def use_s3(monkeypatch: pytest.MonkeyPatch, address: str, keys: bool = True) -> str:
    """Points the environment to an S3 store and its keys, and to no other."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_environment(address).items():
        monkeypatch.setenv(name, value)
    if not keys:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if not keys or not _is_connected(address):
        s3_requests.close()
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def _is_connected(address: str) -> bool:
    """Whether the cached client is of this S3 store. Making one takes a while."""
    return s3_requests._client.cache_info().currsize > 0 and s3_requests.client().meta.endpoint_url == address


@pytest.fixture
def local_root(tmp_path: Path) -> str:
    """A local folder that does not exist yet."""
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
def s3_root(monkeypatch: pytest.MonkeyPatch, _s3_server: str) -> str:
    """An empty place in an S3 store."""
    return use_s3(monkeypatch, _s3_server)


@pytest.fixture(params=OBJECT_STORES)
def remote_root(request: pytest.FixtureRequest) -> str:
    """An empty place in each kind of object store."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["emulated_root", pytest.param("s3_root", marks=pytest.mark.object_store)])
def bucket_root(request: pytest.FixtureRequest) -> str:
    """An empty place in a bucket of each kind, for tests without conditional writes: the quick case needs no server program."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Faults]:
    """A proxy between the client and the store of `gcs_root`, `s3_root` or `remote_root`, whichever the test uses."""
    names = {"gcs_root", "s3_root", "remote_root"}.intersection(request.fixturenames)
    is_s3 = any(request.getfixturevalue(name).startswith("s3:") for name in names)
    with Faults(request.getfixturevalue("_s3_server" if is_s3 else "_fake_server")) as proxy:
        place = (use_s3 if is_s3 else _use)(monkeypatch, proxy.address)
        if is_s3:
            probe(place)  # now, so that its requests do not occur during the test
        yield proxy
        proxy.shutdown()
    (s3_requests if is_s3 else gcs_storage).close()
    with warnings.catch_warnings():  # the client leaves failed connections to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def impatient_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens timeouts and waits, so that requests disturbed by `faults` are retried at once."""
    monkeypatch.setattr(gcs_storage, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(gcs_storage, "_patient", lambda: gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(10))
    monkeypatch.setattr(s3_requests, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(s3_requests, "RETRY_FOR_S", 10.0)
    monkeypatch.setattr(s3_requests, "FIRST_WAIT_S", 0.01)
    s3_requests.close()
