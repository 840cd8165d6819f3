"""The ingest step from Kaggle to object stores: its files, kills, and faults on the way."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from components import storage
from components.artifacts.index import read_index
from components.artifacts.manifest import RawImages
from components.ingest.step import ingest
from components.storage import gcs as gcs_storage
from components.storage import s3_requests
from components.storage.store import StoredFile
from tests import object_stores
from tests.components.ingest.competition import (
    PADDING,
    RAW,
    IngestProcess,
    asked_for,
    check_nothing_is_wrong,
    folder_files,
    run_step,
    stored_files,
)
from tests.components.ingest.kaggle_server import KaggleServer
from tests.components.ingest.zip_files import make_zip
from tests.conftest import OBJECT_STORES
from tests.object_stores import BUCKET, Fault, Faults

_NUM_SAMPLES = 34  # whose images are three transfers


@pytest.fixture
def cells(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    return make_folder(tmp_path / "cells", {f"s{number:02d}": str(number % 28) for number in range(_NUM_SAMPLES)}, side_px=64)


@pytest.fixture
def undisturbed(server: KaggleServer, tmp_path: Path) -> dict[str, bytes]:
    """The files of a run to a local folder."""
    run_step(str(tmp_path / "local"), tmp_path)
    return stored_files(tmp_path / "local")


@pytest.fixture
def stored_in(tmp_path: Path) -> Callable[[str], dict[str, bytes]]:
    """Fetches all objects below a prefix."""

    def fetch(root: str) -> dict[str, bytes]:
        folder = tmp_path / "fetched"
        storage.fetch_tree(root, folder)
        return stored_files(folder)

    return fetch


def _generations(root: str) -> dict[str, object]:
    """The generation of each object, which identifies its write."""
    prefix = root.partition(f"://{BUCKET}/")[2] + "/"
    if root.startswith("s3:"):
        listed = s3_requests.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return {found["Key"].removeprefix(prefix): found["LastModified"] for found in listed}
    return {blob.name.removeprefix(prefix): blob.generation for blob in gcs_storage.client().list_blobs(BUCKET, prefix=prefix)}


def _is_read(request: str) -> bool:
    """Whether a request is for the content of an object."""
    return "alt=media" in request or (request.startswith("GET ") and "/storage/" not in request and "list-type" not in request)


@pytest.mark.parametrize("root", ["emulated_root", *OBJECT_STORES])
def test_stored_files_equal_those_in_a_local_folder(
    root: str,
    request: pytest.FixtureRequest,
    server: KaggleServer,
    undisturbed: dict[str, bytes],
    stored_in: Callable[[str], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    uri = request.getfixturevalue(root)
    version = run_step(uri, tmp_path)
    assert stored_in(uri) == undisturbed
    num_before = len(server.exchanges)
    assert run_step(uri, tmp_path) == version
    assert asked_for(server.archive, server.exchanges[num_before:]) == {"train.csv", PADDING[0]}


@pytest.mark.object_store
class TestStored:
    @pytest.mark.usefixtures("server")
    def test_images_have_both_checksums(self, remote_root: str, cells: Path, tmp_path: Path) -> None:
        version = run_step(remote_root, tmp_path)
        files = {name.removeprefix("train/"): data for name, data in folder_files(cells) if name.endswith(".png")}
        stored = storage.list_files(version.images_uri)
        assert {name: storage.stat(storage.join(version.images_uri, name)) for name in stored} == {
            name: StoredFile(len(data), storage.crc32c(data), storage.crc32(data)) for name, data in files.items()
        }

    def test_existing_images_are_neither_written_nor_read_when_samples_are_added(
        self,
        remote_root: str,
        faults: Faults,
        server: KaggleServer,
        cells: Path,
        make_folder: Callable[..., Path],
        tmp_path: Path,
    ) -> None:
        run_step(remote_root, tmp_path)
        generations, num_exchanges, num_requests = _generations(remote_root), len(server.exchanges), len(faults.requests)
        new = make_folder(tmp_path / "new", {"a": "0", "z": "1"}, side_px=64) / "train"
        rows = (cells / "train.csv").read_bytes() + b"a,0\nz,1\n"
        images = [*folder_files(cells)[1:], *((f"train/{path.name}", path.read_bytes()) for path in new.iterdir())]
        server.archive.write_bytes(make_zip([("train.csv", rows), *images, PADDING]))
        version = run_step(remote_root, tmp_path)
        assert [sample.sample_id for sample in read_index(version.index_uri) if sample.batch == 1] == ["a", "z"]
        asked = asked_for(server.archive, server.exchanges[num_exchanges:])
        assert asked == {"train.csv", PADDING[0], *(f"train/{path.name}" for path in new.iterdir())}
        read = [request for request in faults.requests[num_requests:] if _is_read(request)]
        assert read
        assert not [request for request in read if ".png" in request]
        assert generations.items() <= _generations(remote_root).items()

    def test_other_content_is_kept_and_the_new_name_has_a_checksum(
        self, remote_root: str, server: KaggleServer, cells: Path, tmp_path: Path
    ) -> None:
        images_uri = storage.join(remote_root, RAW, "images")
        storage.write_bytes(storage.join(images_uri, "s20_green.png"), b"other content")
        server.change_body = self._taking(storage.join(images_uri, "s30_red.png"))
        version = run_step(remote_root, tmp_path)
        samples = {sample.sample_id: sample for sample in read_index(version.index_uri)}
        for sample_id, name in (("s20", "green"), ("s30", "red")):
            wanted = (cells / "train" / f"{sample_id}_{name}.png").read_bytes()
            file = samples[sample_id].files[name]
            assert file.name == f"{sample_id}_{name}.{storage.crc32c(wanted)}.png"
            assert storage.read_bytes(storage.join(images_uri, file.name)) == wanted
            assert storage.read_bytes(storage.join(images_uri, f"{sample_id}_{name}.png")) == b"other content"
        assert run_step(remote_root, tmp_path) == version

    @staticmethod
    def _taking(uri: str) -> Callable[..., Iterator[bytes]]:
        """Another run stores an image while this one reads."""

        def take(_: object, pieces: Iterator[bytes]) -> Iterator[bytes]:
            storage.write_bytes(uri, b"other content")
            return pieces

        return take


@pytest.mark.object_store
class TestKilled:
    def test_an_ingest_that_is_killed_repeatedly_resumes(
        self,
        remote_root: str,
        faults: Faults,
        server: KaggleServer,
        undisturbed: dict[str, bytes],
        stored_in: Callable[[str], dict[str, bytes]],
        tmp_path: Path,
    ) -> None:
        """Killed when its n-th request reaches the store, at seeded random moments, and then left alone."""
        chance, generations, num_killed = random.Random(4), dict[str, object](), 0
        images = dict(folder_files(tmp_path / "cells"))
        for number in [*(chance.randrange(3, 25) for _ in range(15)), *range(3, 25)]:
            process = IngestProcess(remote_root, tmp_path)
            faults.planned = [lambda _: False] * number + [_killing(process)]
            num_exchanges = len(server.exchanges)
            if process.wait() == 0:
                break
            num_killed += 1
            stored_in(remote_root)
            check_nothing_is_wrong(tmp_path / "fetched", images)
            asked = asked_for(server.archive, server.exchanges[num_exchanges:])
            assert asked.isdisjoint(f"train/{name.rpartition('/')[2]}" for name in generations)
            assert generations.items() <= _generations(remote_root).items()
            generations = _generations(remote_root)
        faults.planned = []
        assert num_killed >= 15
        run_step(remote_root, tmp_path)
        assert stored_in(remote_root) == undisturbed
        assert generations.items() <= _generations(remote_root).items()


def _killing(process: IngestProcess) -> Fault:
    def fault(_: object) -> bool:
        process.kill()
        return False  # requests in flight arrive

    return fault


_FAULTS: dict[str, list[Fault]] = {
    "reset": [object_stores.reset],
    "reset when it is done": [object_stores.reset_after_it_is_done],
    "truncated": [object_stores.truncate],
    "429": [object_stores.answer(429)],
    "503": [object_stores.answer(503)],
    "stalled": [object_stores.stall],
    "changed on the way": [object_stores.corrupt_request],
}


@pytest.mark.object_store
@pytest.mark.usefixtures("impatient_stores")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
class TestFaults:
    @pytest.mark.parametrize("planned", _FAULTS.values(), ids=_FAULTS)
    def test_temporary_faults_are_survived(
        self,
        remote_root: str,
        faults: Faults,
        undisturbed: dict[str, bytes],
        stored_in: Callable[[str], dict[str, bytes]],
        tmp_path: Path,
        planned: list[Fault],
    ) -> None:
        """A burst when the step begins, and one while it stores images."""
        faults.planned = [*planned * 2, *[lambda _: False] * 20, *planned * 4]
        run_step(remote_root, tmp_path)
        assert not faults.planned
        assert stored_in(remote_root) == undisturbed

    def test_persistent_faults_end_in_one_error_and_the_same_command_resumes(
        self,
        remote_root: str,
        faults: Faults,
        undisturbed: dict[str, bytes],
        stored_in: Callable[[str], dict[str, bytes]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        impatient = gcs_storage.DEFAULT_RETRY.with_delay(0.01, 0.1).with_timeout(0.3)
        with monkeypatch.context() as patch:
            patch.setattr(gcs_storage, "_patient", lambda: impatient)
            patch.setattr(s3_requests, "RETRY_FOR_S", 0.3)
            self._fails_once(remote_root, faults, tmp_path)
        stored = stored_in(remote_root)
        assert stored
        assert stored.items() <= undisturbed.items()
        run_step(remote_root, tmp_path)
        assert stored_in(remote_root) == undisturbed

    @staticmethod
    def _fails_once(root: str, faults: Faults, folder: Path) -> None:
        faults.planned = [*[lambda _: False] * 20, *[object_stores.answer(503)] * 10_000]
        with pytest.raises(OSError, match=r"(Cloud Storage|S3) could not be used.*\. Run the same command again to resume"):
            run_step(root, folder)
        faults.planned = []


@pytest.mark.object_store
def test_folder_in_an_object_store_is_read_again_only_when_it_changes(
    remote_root: str, faults: Faults, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    def run() -> RawImages:
        raw_images = SimpleNamespace(path=str(tmp_path / "raw_images"), metadata={})
        ingest(f"dir:{remote_root}/mine", f"{remote_root}/data", raw_images)
        return RawImages.read(raw_images.path)

    def num_read() -> int:
        return sum(_is_read(request) and "mine" in request and ".png" in request for request in faults.requests)

    folder = make_folder(tmp_path / "mine", {"a": "0", "b": "1"}, side_px=64)
    storage.create_tree(folder, f"{remote_root}/mine")
    first = run()
    assert (first.num_samples, first.num_bad, num_read()) == (2, 0, 8)
    assert (run(), num_read()) == (first, 8)
    other = make_folder(tmp_path / "other", {"c": "0"}, side_px=64) / "train" / "c_green.png"
    storage.replace_bytes(f"{remote_root}/mine/train/a_green.png", other.read_bytes())
    second = run()
    assert second.version == 1
    assert second.fingerprint != first.fingerprint
