"""What `benchmarks.ingest` measures: the ingest step, what a user would do instead, and parts of the step alone."""

import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from kagglesdk import KaggleClient
from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

from components import storage
from components.artifacts.labels import CLASS_NAMES
from components.ingest.archive.remote import RemoteFile
from components.ingest.archive.spool import Spool
from components.ingest.raw import ingest_images
from components.ingest.sources.kaggle import KaggleCompetition
from components.ingest.sources.kaggle_access import find_archive
from components.ingest.sources.source import SourceImage
from tests.components.ingest.kaggle_server import COMPETITION

_CHUNK_BYTES = 1 << 20
_RANGE_BYTES = 8 << 20
_PIECE_BYTES = 100_000


@dataclass(frozen=True)
class Task:
    """What a run is given.

    Attributes:
        work_dir: A folder that does not exist yet, for what is not meant to stay.
        data_root: Where the images belong: a folder that does not exist yet, or a gs:// address with nothing below it.
        num_threads: Transfers in flight at once.
        unzip: By which of the ways in `UNZIP` the user unzips.
    """

    work_dir: Path
    data_root: str
    num_threads: int
    unzip: str


# Does a task, and says how many seconds each of its phases took.
Act = Callable[[Task], dict[str, float]]


def by_hand(task: Task) -> dict[str, float]:
    """Downloads the archive through the SDK, unzips it, and copies or uploads the folder."""
    archive, folder = task.work_dir / "archive.zip", task.work_dir / "unzipped"
    folder.mkdir(parents=True)
    phases_s = {
        "download, 1 connection": seconds(_download, archive),
        f"unzip by {task.unzip}, 1 thread": seconds(UNZIP[task.unzip], archive, folder),
    }
    if not storage.is_local(task.data_root):
        return phases_s | {f"upload, {task.num_threads} threads": seconds(_upload, folder, task)}
    return phases_s | {f"copy, {task.num_threads} threads": seconds(_copy, folder, task), FLUSH: seconds(os.sync)}


FLUSH = "flush to disk"


def _download(path: Path) -> None:
    """Does what Kaggle's own command does."""
    request = ApiDownloadDataFilesRequest()
    request.competition_name = COMPETITION
    with (
        KaggleClient() as client,
        client.competitions.competition_api_client.download_data_files(request) as response,
        path.open("wb") as file,
    ):
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)


def _unzip_in_python(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def _unzip(archive: Path, folder: Path) -> None:
    subprocess.run(["unzip", "-q", archive, "-d", folder], check=True)


UNZIP: dict[str, Callable[[Path, Path], None]] = {"zipfile": _unzip_in_python, "unzip": _unzip}


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _copy(folder: Path, task: Task) -> None:
    target = Path(task.data_root)
    (target / "train").mkdir(parents=True)
    _for_each(lambda name: shutil.copy(folder / name, target / name), _files(folder), task.num_threads)


def _upload(folder: Path, task: Task) -> None:
    """Does what the sample of Google's documentation does, but by threads: for small files, its processes take far longer."""
    from google.cloud.storage import Client, transfer_manager  # noqa: PLC0415 (memory that other runs do not take)

    bucket, _, prefix = task.data_root.removeprefix("gs://").partition("/")
    with Client() as client:
        transfer_manager.upload_many_from_filenames(
            client.bucket(bucket),
            _files(folder),
            source_directory=str(folder),
            blob_name_prefix=f"{prefix}/",
            raise_exception=True,
            worker_type=transfer_manager.THREAD,
            max_workers=task.num_threads,
        )


def by_step(task: Task) -> dict[str, float]:
    """Does what the ingest step does."""

    def ingest() -> None:
        ingest_images(_competition(), f"kaggle:{COMPETITION}", task.data_root, list(CLASS_NAMES), task.num_threads)

    return {f"open the archive, read and store, {task.num_threads} transfers": seconds(ingest)}


def by_step_unsynced(task: Task) -> dict[str, float]:
    """Does what the ingest step does, but does not wait until all is on disk."""
    with mock.patch("os.fsync", return_value=None), mock.patch("os.sync", return_value=None):
        return by_step(task)


def receive(task: Task) -> dict[str, float]:
    """Receives the archive by requests and in pieces such as the step's, and does nothing with it."""

    def receive_range(start: int) -> None:
        end = min(start + _RANGE_BYTES, file.num_bytes)
        with file.stream(start, end) as read:
            for position in range(start, end, _PIECE_BYTES):
                read(min(_PIECE_BYTES, end - position))

    file = RemoteFile(partial(find_archive, COMPETITION))
    return {"": seconds(_for_each, receive_range, range(0, file.num_bytes, _RANGE_BYTES), task.num_threads)}


def read_members(task: Task, is_crc32c_wanted: bool = False) -> dict[str, float]:
    """Receives the images as the step does, and holds them to their CRC-32; computes their CRC-32C, if that is wanted."""

    def read(images: Sequence[SourceImage]) -> None:
        for _, data in source.read(images):
            if is_crc32c_wanted:
                storage.crc32c(data)

    source = _competition()
    return {"": seconds(_for_each, read, list(source.chunks()), task.num_threads)}


def _competition() -> KaggleCompetition:
    return KaggleCompetition(COMPETITION, CLASS_NAMES, Spool("benchmark"))


# The step piece by piece: what each rung does that the one before does not.
LADDER: dict[str, Act] = {
    "receiving": receive,
    "reading members: CRC-32, inflating": read_members,
    "CRC-32C": partial(read_members, is_crc32c_wanted=True),
    "files (open, write, link) and index": by_step_unsynced,
    "flush to disk: this is the whole step": by_step,
}


def seconds(act: Callable[..., object], *arguments: object) -> float:
    """How long a call takes."""
    started_s = time.monotonic()
    act(*arguments)
    return time.monotonic() - started_s


def _for_each(act: Callable[[Any], object], items: Iterable[Any], num_threads: int) -> None:
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(act, items):
            pass
