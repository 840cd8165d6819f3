"""The tasks that `benchmarks.ingest` measures: the ingest step, the manual way, and parts of the step."""

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
    """The parameters of a run.

    Attributes:
        work_dir: A new folder for temporary files.
        data_root: The destination of the images: a new folder, or an empty gs:// address.
        num_threads: Transfers in flight at once.
        unzip: The way to unzip, a key of `UNZIP`.
    """

    work_dir: Path
    data_root: str
    num_threads: int
    unzip: str


# Does a task, and returns the seconds of its phases.
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
    """Downloads like Kaggle's own command."""
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
    """Uploads as in Google's documentation, but with threads: for small files, processes take far longer."""
    from google.cloud.storage import Client, transfer_manager  # noqa: PLC0415 (would add to the memory of other runs)

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
    """Runs the ingest step."""

    def ingest() -> None:
        ingest_images(_competition(), f"kaggle:{COMPETITION}", task.data_root, list(CLASS_NAMES), task.num_threads)

    return {f"open the archive, read and store, {task.num_threads} transfers": seconds(ingest)}


def by_step_unsynced(task: Task) -> dict[str, float]:
    """Runs the ingest step without waiting until everything is on disk."""
    with mock.patch("os.fsync", return_value=None), mock.patch("os.sync", return_value=None):
        return by_step(task)


def receive(task: Task) -> dict[str, float]:
    """Receives the archive in the same requests and pieces as the step, and discards it."""

    def receive_range(start: int) -> None:
        end = min(start + _RANGE_BYTES, file.num_bytes)
        with file.stream(start, end) as read:
            for position in range(start, end, _PIECE_BYTES):
                read(min(_PIECE_BYTES, end - position))

    file = RemoteFile(partial(find_archive, COMPETITION))
    return {"": seconds(_for_each, receive_range, range(0, file.num_bytes, _RANGE_BYTES), task.num_threads)}


def read_members(task: Task, is_crc32c_wanted: bool = False) -> dict[str, float]:
    """Receives the images as the step does, and checks their CRC-32; optionally computes their CRC-32C."""

    def read(images: Sequence[SourceImage]) -> None:
        for _, data in source.read(images):
            if is_crc32c_wanted:
                storage.crc32c(data)

    source = _competition()
    return {"": seconds(_for_each, read, list(source.chunks()), task.num_threads)}


def _competition() -> KaggleCompetition:
    return KaggleCompetition(COMPETITION, CLASS_NAMES, Spool("benchmark"))


# The parts of the step, each of which does one thing more than the one before.
LADDER: dict[str, Act] = {
    "receiving": receive,
    "reading members: CRC-32, inflating": read_members,
    "CRC-32C": partial(read_members, is_crc32c_wanted=True),
    "files (open, write, link) and index": by_step_unsynced,
    "flush to disk: this is the whole step": by_step,
}


def seconds(act: Callable[..., object], *arguments: object) -> float:
    """The seconds that a call takes."""
    started_s = time.monotonic()
    act(*arguments)
    return time.monotonic() - started_s


def _for_each(act: Callable[[Any], object], items: Iterable[Any], num_threads: int) -> None:
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(act, items):
            pass
