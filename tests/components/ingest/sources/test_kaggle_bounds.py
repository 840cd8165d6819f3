"""The memory and disk space of the ingest step, run as by KFP, are bounded for archives of any size."""

import contextlib
import itertools
import os
import random
import re
import shutil
import struct
import sys
import uuid
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from components import storage
from components.artifacts.labels import FILTERS, NUM_PUBLISHED_SAMPLES
from tests.components.ingest.competition import RAW, executor_command, run_executor, signed_in
from tests.components.ingest.kaggle_server import KaggleServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")

# Mostly the names of the competition's 171,096 files, and some for mapped libraries, which differ between machines.
_MAX_MEMORY_BYTES = 400_000_000
_MAX_DISK_BYTES = 200_000_000
_NUM_TEST_SAMPLES = 11702
_PNG = b"\x89PNG\r\n\x1a\n"
_TELL_PEAK = """
import atexit; from pathlib import Path
atexit.register(lambda: print(Path("/proc/self/status").read_text()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is emptied immediately, because these tests write large files."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with signed_in(folder / "archive.zip", monkeypatch) as server:
        yield server


def _ingest(folder: Path, data_root: str) -> tuple[int, int]:
    """Runs the step. Returns its peak memory and temporary disk space in bytes."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    disk_bytes = [0]

    def watch(_: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # removed concurrently
            disk_bytes.append(sum(path.stat().st_size for path in temporary.rglob("*")))

    command = executor_command(folder, data_root, _TELL_PEAK)
    code, output = run_executor(command, {"TMPDIR": str(temporary)}, watch)
    assert code == 0, output
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", output)
    return int(peak) * 1024, max(disk_bytes)


def _write_archive(path: Path, labels: bytes, images: Iterable[tuple[str, int]]) -> None:
    """Writes an archive of files of these sizes that begin like a PNG and continue with zeros, which take no disk space.

    zipfile would take a minute for as many files as in the competition.
    """
    directory = []
    with path.open("wb") as file:
        for name, num_bytes in itertools.chain([("train.csv", len(labels))], images):
            start, content = file.tell(), labels if name == "train.csv" else _PNG
            crc32 = zlib.crc32(labels) if name == "train.csv" else _crc32(num_bytes)
            fields = struct.pack("<HHHHLLLHH", 0, 0, 0, 33, crc32, num_bytes, num_bytes, len(name), 0)
            file.write(b"PK\3\4\x14\0" + fields + name.encode() + content)
            file.truncate(file.seek(num_bytes - len(content), os.SEEK_CUR))
            directory.append(b"PK\1\2\x14\0\x14\0" + fields + struct.pack("<HHHLL", 0, 0, 0, 0, start) + name.encode())
        place = file.tell()
        file.writelines(directory)
        end, number = file.tell(), len(directory)
        file.write(struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, number, number, end - place, place))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + b"PK\5\6\0\0\0\0" + b"\xff" * 12 + b"\0\0")


def _store_png(path: Path, same: Path) -> None:
    """Stores the content that these images share under another name: a link, which is faster than a file."""
    if not same.exists():
        same.write_bytes(_PNG)
    path.hardlink_to(same)


@cache
def _crc32(num_bytes: int) -> int:
    return zlib.crc32(_PNG + bytes(num_bytes - len(_PNG)))


def _write_archive_with_large_images(path: Path, num_large: int, num_bytes: int) -> dict[str, int]:
    """Writes images of 400 kB and some of 40 MB, which would take 640 MB if all transfers held one at a time."""
    names = [f"s{number:04d}" for number in range((num_bytes - num_large * 40_000_000) // 1_600_000)]
    large = {f"{name}_green.png" for name in names[:num_large]}
    images = [f"{name}_{filter_name}.png" for name in names for filter_name in FILTERS]
    sizes = {name: 40_000_000 if name in large else 400_000 for name in images}
    labels = "Id,Target\n" + "".join(f"{name},0\n" for name in names)
    _write_archive(path, labels.encode(), ((f"train/{name}", size) for name, size in sizes.items()))
    return sizes


@pytest.mark.parametrize("num_large", [1, 6])
def test_memory_and_disk_are_bounded_for_large_images(folder: Path, server: KaggleServer, num_large: int) -> None:
    sizes = _write_archive_with_large_images(server.archive, num_large, 320_000_000)
    memory_bytes, disk_bytes = _ingest(folder, str(folder / "data"))
    stored = storage.list_files(str(folder / "data" / RAW / "images"))
    assert {name: file.num_bytes for name, file in stored.items()} == sizes
    assert memory_bytes < _MAX_MEMORY_BYTES
    assert disk_bytes < _MAX_DISK_BYTES


@pytest.mark.object_store
@pytest.mark.parametrize("num_large", [0, 3])
def test_memory_and_disk_are_bounded_with_an_object_store(
    folder: Path, server: KaggleServer, remote_root: str, num_large: int
) -> None:
    sizes = _write_archive_with_large_images(server.archive, num_large, 140_000_000)
    memory_bytes, disk_bytes = _ingest(folder, remote_root)
    stored = storage.list_files(storage.join(remote_root, RAW, "images"))
    assert {name: file.num_bytes for name, file in stored.items()} == sizes
    assert memory_bytes < _MAX_MEMORY_BYTES
    assert disk_bytes < _MAX_DISK_BYTES


@pytest.mark.long
def test_memory_and_disk_are_bounded_for_as_many_images_as_in_the_competition(folder: Path, server: KaggleServer) -> None:
    """With as many images as the competition's, ingest takes less than 400 MB of memory and 200 MB of temporary disk.

    All images but one are already stored, which takes the most memory.
    """
    chance = random.Random(0)
    ids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(NUM_PUBLISHED_SAMPLES + _NUM_TEST_SAMPLES)]
    train = ids[:NUM_PUBLISHED_SAMPLES]
    labels = "Id,Target\n" + "".join(f"{name},{chance.randrange(28)} \n" for name in train)
    images = [(f"{'train' if number < len(train) else 'test'}/{name}", len(_PNG)) for number, name in enumerate(ids)]
    members = ((f"{name}_{filter_name}.png", size) for name, size in images for filter_name in FILTERS)
    _write_archive(server.archive, labels.encode(), members)
    stored = folder / "data" / RAW / "images"
    stored.mkdir(parents=True)
    for number, name in enumerate(train):
        for filter_name in FILTERS[number == 0 :]:
            _store_png(stored / f"{name}_{filter_name}.png", folder / f"{number // 10_000}")
    for _ in range(2):  # the second time, nothing has changed
        memory_bytes, disk_bytes = _ingest(folder, str(folder / "data"))
        assert memory_bytes < _MAX_MEMORY_BYTES
        assert disk_bytes < _MAX_DISK_BYTES
