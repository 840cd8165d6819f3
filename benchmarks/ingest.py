"""Measures how fast ingest brings a competition's archive to data_root, compared with manual download, unzip and copy.

    python -m benchmarks.ingest --gigabytes 2 --repeats 3

Both read a synthetic archive from a server on loopback that behaves like Kaggle's, in turn, each run in a fresh process. A
series of partial runs, each of which does one thing more than the one before, shows where the step's time goes. The exit status
is 1 if the step exceeds its limits of memory or temporary disk.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.ingest_runs import FLUSH, LADDER, UNZIP, Act, Task, by_hand, by_step, seconds
from components.artifacts.labels import CLASS_NAMES, FILTERS
from tests.components.ingest.kaggle_server import KaggleServer
from tests.object_stores import BUCKET, fake_gcs_server, find_server, gcs_emulator

MAX_MEMORY_BYTES = 300_000_000
MAX_TEMPORARY_BYTES = 200_000_000

_IMAGE_BYTES = range(60_000, 150_000)  # the competition's have 105 kB on average
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SECONDS_BETWEEN_LOOKS = 0.05
_BY_HAND = "by hand"
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Run:
    """The cost of a run.

    Attributes:
        phases_s: Seconds, by phase.
        cpu_s: The processor time of the process and its children, without the servers.
        memory_bytes: The peak resident memory of the largest of these processes.
        written_bytes: The bytes that they wrote to disk.
        temporary_bytes: The peak of temporary disk space, without the finished images.
    """

    phases_s: dict[str, float]
    cpu_s: float
    memory_bytes: int
    written_bytes: int
    temporary_bytes: int = 0

    @property
    def seconds(self) -> float:
        """The time until the call returns, although not everything may be on disk yet."""
        return sum(value for phase, value in self.phases_s.items() if phase != FLUSH)


def make_archive(path: Path, num_bytes: int, is_deflated: bool) -> int:
    """Writes an archive in the competition's layout, of noise with a PNG signature. Returns the number of images.

    Noise cannot be compressed, nor can the competition's images: zlib turns each byte of them into 1.0003 bytes.
    """
    chance = random.Random(0)
    rows, left_bytes = ["Id,Target"], num_bytes
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED, compresslevel=1) as archive:
        while left_bytes > 0:
            sample_id = uuid.UUID(bytes=chance.randbytes(16))
            rows.append(f"{sample_id},{chance.randrange(len(CLASS_NAMES))}")
            for name in FILTERS:
                image = _PNG_SIGNATURE + chance.randbytes(chance.choice(_IMAGE_BYTES))
                archive.writestr(f"train/{sample_id}_{name}.png", image)
                left_bytes -= len(image)
        archive.writestr("train.csv", "\n".join(rows))
    return len(FILTERS) * (len(rows) - 1)


@contextlib.contextmanager
def _kaggle(archive: Path) -> Iterator[dict[str, str]]:
    """Serves an archive from another process, and yields the environment variables for it."""
    ours, theirs = _SPAWN.Pipe()
    server = _SPAWN.Process(target=_serve, args=(archive, theirs))
    server.start()
    theirs.close()
    yield ours.recv()
    ours.close()
    server.join()


def _serve(archive: Path, connection: Connection) -> None:
    with KaggleServer(archive) as server, contextlib.suppress(EOFError):
        connection.send(server.environment)
        connection.recv()


@dataclass(frozen=True)
class Bench:
    """The place and the common parameters of the runs."""

    folder: Path
    archive: Path
    num_images: int
    num_threads: int
    unzip: str

    def run(self, act: Act, data_root: str = "", environment: Mapping[str, str] | None = None) -> Run:
        """Does a task in a fresh process, by default with a local `data_root`."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        task = Task(place / "work", data_root or str(place / "data_root"), self.num_threads, self.unzip)
        temporary_dir = place / "temporary"
        for path in (task.work_dir, temporary_dir):
            path.mkdir()
        os.sync()  # a run does not wait for writes of the one before
        with _kaggle(self.archive) as kaggle, ProcessPoolExecutor(1, _SPAWN) as fresh:
            running = fresh.submit(_measure, act, task, kaggle | dict(environment or {}), temporary_dir)
            peak_bytes = max(_looks(running, temporary_dir, place))
        num_stored = len(list(place.joinpath("data_root").rglob("*.png")))
        if num_stored not in (0, self.num_images):
            raise RuntimeError(f"Expected {self.num_images} images in {task.data_root}. Received: {num_stored}")
        run = replace(running.result(), temporary_bytes=peak_bytes + _size(task.work_dir))
        _empty(place)
        return run


def _looks(running: "Future[Run]", temporary_dir: Path, place: Path) -> Iterator[int]:
    """Repeatedly measures the size of the temporary and unfinished files."""
    yield 0
    while not running.done():
        yield sum(map(_size, [temporary_dir, *place.glob("data_root/raw/*/*/.partial")]))
        wait([running], _SECONDS_BETWEEN_LOOKS)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # finished in the meantime
            total += path.stat().st_size
    return total


def _empty(folder: Path) -> None:
    """Truncates the files instead of removing them: after many removals, ext4 creates files slowly for minutes."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def _measure(act: Act, task: Task, environment: Mapping[str, str], temporary_dir: Path) -> Run:
    os.environ.update(environment)
    tempfile.tempdir = str(temporary_dir)
    started_s = _cpu_s()
    phases_s = act(task)
    cpu_s = _cpu_s() - started_s
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Run(
        phases_s,
        cpu_s,
        memory_bytes=max(usage.ru_maxrss for usage in used) * 1024,
        written_bytes=sum(usage.ru_oublock for usage in used) * 512,
    )


def _cpu_s() -> float:
    return sum(os.times()[:4])


def _faster_unzip(archive: Path, folder: Path) -> str:
    """The faster way to unzip on this machine."""
    ways = [way for way in UNZIP if way == "zipfile" or shutil.which(way)]
    taken_s = {way: seconds(UNZIP[way], archive, folder / way) for way in ways}
    for way in ways:
        _empty(folder / way)
    return min(taken_s, key=taken_s.__getitem__)


def print_comparison(hand: Sequence[Run], step: Sequence[Run], num_bytes: int) -> None:
    """Prints the figures of both, and how much faster the step is."""
    print("| | seconds | of all runs | MB/s | CPU seconds | memory, MB | temporary disk, MB | written, MB |")
    print("|---|" + "---:|" * 7)
    for title, runs in {"by hand": hand, "the step": step}.items():
        for phase in runs[0].phases_s:
            print(f"| {phase} | {_cells([run.phases_s[phase] for run in runs], num_bytes)} | | | | |")
        peaks = (max(getattr(run, peak) for run in runs) for peak in ("memory_bytes", "temporary_bytes", "written_bytes"))
        cells = [_cells([run.seconds for run in runs], num_bytes), f"{statistics.median(run.cpu_s for run in runs):.1f}"]
        print(f"| **{title}** | " + " | ".join(cells + [f"{peak / 1e6:.0f}" for peak in peaks]) + " |")
    ratios = [by_hand_.seconds / by_step_.seconds for by_hand_, by_step_ in zip(hand, step, strict=True)]
    flushed = [sum(by_hand_.phases_s.values()) / by_step_.seconds for by_hand_, by_step_ in zip(hand, step, strict=True)]
    print(f"\nThe step is {_range(ratios)} times as fast; {_range(flushed)} times until all is on disk.\n")


def print_ladder(rungs: Mapping[str, Sequence[Run]], num_bytes: int) -> None:
    """Prints the time of each part of the step."""
    print("| | seconds | of all runs | MB/s | more than above | of the step | CPU seconds |")
    print("|---|" + "---:|" * 6)
    medians_s = {rung: statistics.median(run.seconds for run in runs) for rung, runs in rungs.items()}
    whole_s, below_s = list(medians_s.values())[-1], 0.0
    for rung, runs in rungs.items():
        more_s, below_s = medians_s[rung] - below_s, medians_s[rung]
        cells = f"{_cells([run.seconds for run in runs], num_bytes)} | {more_s:.1f} | {more_s / whole_s:.0%}"
        print(f"| {rung} | {cells} | {statistics.median(run.cpu_s for run in runs):.1f} |")


def _cells(taken_s: Sequence[float], num_bytes: int) -> str:
    median_s = statistics.median(taken_s)
    return f"{median_s:.1f} | {min(taken_s):.1f} to {max(taken_s):.1f} | {num_bytes / median_s / 1e6:.0f}"


def _range(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _to_stores(bench: Bench) -> dict[str, list[Run]]:
    """Brings the images to object stores on loopback, by hand and by the step."""
    stores: dict[str, Callable[[], AbstractContextManager[str]]] = {"gcp-storage-emulator": gcs_emulator}
    if find_server("fake-gcs-server"):
        stores["fake-gcs-server"] = fake_gcs_server
    runs: dict[str, list[Run]] = defaultdict(list)
    for title, serve in stores.items():
        for act in (by_hand, by_step):
            with serve() as address:
                runs[title].append(bench.run(act, f"gs://{BUCKET}/data_root", {"STORAGE_EMULATOR_HOST": address}))
    return runs


def main() -> None:
    """Runs everything in turn, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parallel-transfers", type=int, default=16)
    parser.add_argument("--deflated", action="store_true", help="compress the files in the archive")
    parser.add_argument("--gcs", action="store_true", help="also bring the images to object stores on loopback, once")
    options = parser.parse_args()
    runs: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "archive.zip")
        num_images = make_archive(archive, round(options.gigabytes * 1e9), options.deflated)
        bench = Bench(Path(folder), archive, num_images, options.parallel_transfers, _faster_unzip(archive, Path(folder)))
        for _ in range(options.repeats):
            for title, act in {_BY_HAND: by_hand, **LADDER}.items():
                runs[title].append(bench.run(act))
        stores = _to_stores(bench) if options.gcs else {}
        num_bytes = archive.stat().st_size
    from benchmarks.machine import describe_machine  # noqa: PLC0415 (would add to the memory of the runs)

    contents = f"{num_images} images, {'deflated' if options.deflated else 'stored'}, in {num_bytes / 1e9:.2f} GB"
    print(f"{contents}; {options.repeats} runs of each, in turn; {describe_machine()}.\n")
    step = runs[list(LADDER)[-1]]
    print_comparison(runs[_BY_HAND], step, num_bytes)
    print_ladder({title: runs[title] for title in LADDER}, num_bytes)
    for title, (hand_run, step_run) in stores.items():
        print(f"\nTo {title}, once:\n")
        print_comparison([hand_run], [step_run], num_bytes)
    sys.exit(_exceeded(step))


def _exceeded(runs: Sequence[Run]) -> str | None:
    """A message if the step exceeds its limits."""
    memory_bytes, temporary_bytes = max(run.memory_bytes for run in runs), max(run.temporary_bytes for run in runs)
    bounds = f"at most {MAX_MEMORY_BYTES} bytes of memory and {MAX_TEMPORARY_BYTES} bytes of temporary disk"
    found = f"expected {bounds}. Received: {memory_bytes} and {temporary_bytes}"
    is_within = memory_bytes <= MAX_MEMORY_BYTES and temporary_bytes <= MAX_TEMPORARY_BYTES
    return None if is_within else f"The step takes too much: {found}"


if __name__ == "__main__":
    main()
