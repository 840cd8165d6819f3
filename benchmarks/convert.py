"""Measures convert's speed and memory, compared with a plain process pool that does the same work.

    python -m benchmarks.convert --repeats 3
    python -m benchmarks.convert --samples 4000      (quick)

The samples are hard links to a few hundred synthetic ones, and the images are in the page cache before the first run. Each
variant runs in its own process, in turn; its work is timed, including the start and the end of Beam's workers. Convert waits
until its output is on disk, and the pools do not. On a busy machine, processor time is more reliable than wall time.

Finally, some samples are converted from and to object stores on loopback, with immediate and with delayed answers.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.convert_ways import WAYS
from benchmarks.machine import describe_machine, image_path, make_images
from components import storage
from components.artifacts.index import ImageFile, Sample, dump_index
from components.storage import gcs as gcs_storage
from components.storage import s3_requests
from tests.object_stores import BUCKET, Faults, fake_gcs_server, find_server, gcs_emulator, s3_environment, versitygw

_NUM_DISTINCT = 240
_SMALL = 1000
# Enough for the step to use one process per core.
_NUM_REMOTE = 1500
_LATE_S = 0.04
_SECONDS_BETWEEN_LOOKS = 0.2


def make_source(folder: Path, num_samples: int) -> None:
    """Renders some samples, and links them to `num_samples` names."""
    rendered = make_images(folder / "images", num_samples, _NUM_DISTINCT)
    rows = []
    for number in range(num_samples):
        sample = rendered[number % len(rendered)]
        files = {
            name: ImageFile(image_path(folder, number, name).name, len(png), storage.crc32c(png))
            for name, png in sample.pngs.items()
        }
        rows.append(Sample(f"{number:06d}-{sample.sample_id}", sample.labels, 0, "", files))
    (folder / "index.csv.gz").write_bytes(dump_index(rows))


@dataclass(frozen=True)
class Result:
    """The cost of a run.

    Attributes:
        seconds: The wall time of the work.
        cpu_s: The processor time of the process and its children.
        runner_mb: The peak memory of the process.
        worker_mb: The peak memory of its largest child process.
    """

    seconds: float
    cpu_s: float
    runner_mb: int
    worker_mb: int


def measure(way: str, folder: str, samples: int, image_size_px: int, channels: int, form: str = "") -> Result:
    """Does the work in a fresh process, and monitors the memory of all its processes."""
    arguments = [way, folder, str(samples), str(image_size_px), str(channels), f"--form={form}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peaks: dict[int, int] = {}
    command = [sys.executable, "-m", "benchmarks.convert_ways", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for pid in _family(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _peak_mb(pid))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        assert process.stdout
        output = process.stdout.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    storage.remove_tree(storage.join(folder, "examples"))
    os.sync()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    runner_mb = peaks.pop(process.pid)
    return Result(json.loads(output.splitlines()[-1]), cpu_s, runner_mb, max(peaks.values(), default=0))


def _family(pid: int) -> list[int]:
    """A process and all its descendants."""
    with contextlib.suppress(OSError):
        children = [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
        return [pid, *(member for child in children for member in _family(child))]
    return []


def _peak_mb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def measure_late(scheme: str, folder: Path, samples: int, image_size_px: int, channels: int) -> list[Result]:
    """Converts from and to an object store, first without and then with a delay of each answer."""
    serve = versitygw if scheme == "s3" else fake_gcs_server if find_server("fake-gcs-server") else gcs_emulator
    uri, names = storage.join(f"{scheme}://{BUCKET}", folder.name), [path.name for path in (folder / "images").iterdir()]
    wanted = [name for name in names if int(name.partition("_")[0]) < samples]
    with serve() as address:
        proxy = Faults(address)
        os.environ |= {"STORAGE_EMULATOR_HOST": proxy.address} | s3_environment(proxy.address)
        gcs_storage.close()  # a client of an earlier proxy would wait for it
        s3_requests.close()
        storage.for_each(lambda name: storage.store(folder / "images" / name, f"{uri}/images/{name}"), wanted)
        storage.store(folder / "index.csv.gz", f"{uri}/index.csv.gz")
        prompt = measure("random", uri, samples, image_size_px, channels)
        proxy.delay_s = _LATE_S
        late = measure("random", uri, samples, image_size_px, channels)
        proxy.shutdown()
        proxy.server_close()
    return [prompt, late]


def print_table(results: dict[str, list[Result]], num_samples: int) -> None:
    """Prints Markdown: samples per second in each repetition, compared with the pool of the same one, and memory."""
    repeats = range(len(results["pool"]))
    print(
        "| | "
        + " | ".join(f"samples/s, run {k + 1}" for k in repeats)
        + " | of the pool | CPU ms/sample | MB, runner | MB, worker |"
    )
    print("|---|" + "---:|" * (len(repeats) + 4))
    for way, runs in results.items():
        rates = " | ".join(f"{num_samples / run.seconds:.0f}" for run in runs)
        cpu_ms = 1000 * statistics.median(run.cpu_s for run in runs) / num_samples
        memory = f"{max(run.runner_mb for run in runs)} | {max(run.worker_mb for run in runs)}"
        print(f"| {WAYS[way].title} | {rates} | {_times(results, way, 'pool')} | {cpu_ms:.2f} | {memory} |")
    print(f"\nsplit=random has {_times(results, 'random', 'pillow')} times the rate of the pool with Pillow;")
    print(f"split=grouped takes {_times(results, 'random', 'grouped')} times as long as split=random.")


def _times(results: dict[str, list[Result]], fast: str, slow: str) -> str:
    """The median over the repetitions of the slow variant's time divided by the fast one's."""
    pairs = zip(results[slow], results[fast], strict=True)
    return f"{statistics.median(one.seconds / other.seconds for one, other in pairs):.2f}"


def main() -> None:
    """Runs all variants in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=31072)
    parser.add_argument("--image-size-px", type=int, default=299)
    parser.add_argument("--channels", choices=("rgb", "rgby"), default="rgb")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="the working folder, with space for twice the records")
    options = parser.parse_args()
    size = options.image_size_px, len(options.channels)
    ways = [way for way in WAYS if way != "isal" or importlib.util.find_spec("isal")]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_source(folder, options.samples)
        runs = [{way: measure(way, name, options.samples, *size) for way in ways} for _ in range(options.repeats)]
        small = {way: measure(way, name, min(_SMALL, options.samples), *size) for way in ("random", "grouped")}
        print(f"\n{options.samples} samples, {size[0]} px, {options.channels}; {describe_machine()}.\n")
        print_table({way: [run[way] for run in runs] for way in ways}, options.samples)
        for way, result in small.items():
            print(f"With {_SMALL} samples, {WAYS[way].title} takes {result.runner_mb} MB in one process.", flush=True)
        for scheme in ("gs", *(["s3"] if find_server("versitygw") else [])):
            late = [measure_late(scheme, folder, min(_NUM_REMOTE, options.samples), *size) for _ in range(options.repeats)]
            ratio = statistics.median(slow.seconds / fast.seconds for fast, slow in late)
            delay = f"{1000 * _LATE_S:.0f} ms"
            print(f"From and to {scheme}:// with answers delayed by {delay}, it takes {ratio:.2f} times as long.")


if __name__ == "__main__":
    main()
