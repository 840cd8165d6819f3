"""A competition for tests: its archive, and processes that ingest it."""

import contextlib
import json
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.artifacts.index import read_index
from components.artifacts.manifest import RawImages
from components.ingest.component import ingest as component
from components.ingest.step import ingest
from tests.components.ingest.kaggle_server import COMPETITION, Exchange, KaggleServer

SOURCE = f"kaggle:{COMPETITION}"
RAW = f"raw/kaggle-{COMPETITION}"
ROOT = Path(__file__).parents[3]
# Other content of an archive, more than the tail that is read to find its directory.
PADDING = ("sample_submission.csv", os.urandom(50_000).hex().encode())


def folder_files(folder: Path) -> list[tuple[str, bytes]]:
    """The files below a folder in the order of its archive: train.csv before the images."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [(name, files[name].read_bytes()) for name in sorted(files)]


@contextlib.contextmanager
def signed_in(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """Serves an archive to an environment with the token and no other setting of Kaggle."""
    for name in list(os.environ):
        if name.startswith("KAGGLE_"):
            monkeypatch.delenv(name)
    with KaggleServer(archive) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def asked_for(archive: Path, exchanges: Iterable[Exchange]) -> set[str]:
    """The members of which any byte was requested. The request that finds the address asks for no range."""
    ranges = [exchange.headers["Range"].removeprefix("bytes=") for exchange in exchanges if "Range" in exchange.headers]
    wanted = [range(int(first), int(last) + 1) for first, last in (text.split("-") for text in ranges)]
    with zipfile.ZipFile(archive) as file:
        members = sorted(file.infolist(), key=lambda member: member.header_offset)
        ends = [*(member.header_offset for member in members[1:]), file.start_dir]
    places = {member.filename: range(member.header_offset, end) for member, end in zip(members, ends, strict=True)}
    return {
        name for name, place in places.items() if any(max(place[0], part[0]) <= min(place[-1], part[-1]) for part in wanted)
    }


def run_step(data_root: str, folder: Path, include_test: bool = False) -> RawImages:
    """Runs the ingest step in this process and leaves its artifact in a folder."""
    logger = logging.getLogger("components")
    before = logger.handlers[:], logger.level, logger.propagate
    artifact = SimpleNamespace(path=str(folder / "raw_images"), metadata={})
    try:
        ingest(SOURCE, data_root, artifact, include_test=include_test)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    return RawImages.read(artifact.path)


def stored_files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without unfinished ones."""
    return {name: data for name, data in folder_files(folder) if not is_unfinished(name)}


def is_unfinished(name: str) -> bool:
    """Whether a path is not the final name of a file."""
    return any(part.startswith(".") for part in name.split("/"))


def check_nothing_is_wrong(data_root: Path, images: Mapping[str, bytes]) -> None:
    """Checks that files under their final names are complete, and that published versions have all of their files."""
    stored = stored_files(data_root)
    for name, data in stored.items():
        folder, _, own = name.rpartition("/")
        if folder == f"{RAW}/images":
            assert data == images[f"train/{own}"], name
        elif own.endswith(".json"):
            version = RawImages.find(str(data_root / RAW), f"index/{own}")
            assert version is not None
            files = [file.name for sample in read_index(version.index_uri) for file in sample.files.values()]
            assert {f"{RAW}/images/{file}" for file in files} <= stored.keys()


def stored_times(folder: Path) -> dict[str, int]:
    """The modification times of these files."""
    return {name: (folder / name).stat().st_mtime_ns for name in stored_files(folder)}


_forks = multiprocessing.get_context("forkserver")
# Processes then start in a moment instead of seconds.
_forks.set_forkserver_preload(
    [
        __name__,
        "components.ingest.sources.open_source",
        "components.ingest.raw",
        "components.storage.gcs",
        "components.storage.s3",
    ]
)


class IngestProcess:
    """The ingest step in a separate process with this one's environment.

    Args:
        data_root: The step's parameter.
        folder: The folder for the process's output and artifact.
        die_at: It kills itself before it opens, makes, links, renames or removes a file below data_root for the n-th time.
        max_file_bytes: The largest file that it may write.
    """

    def __init__(self, data_root: str, folder: Path, die_at: int = 0, max_file_bytes: int = resource.RLIM_INFINITY) -> None:
        self._log = folder / "log.txt"
        arguments = dict(os.environ), data_root, folder, die_at, max_file_bytes
        self._process: BaseProcess = _forks.Process(target=_run_ingest, args=arguments)
        self._process.start()

    def kill(self) -> None:
        """Kills the process like `kill -9`."""
        self._process.kill()

    def wait(self) -> int | None:
        """Returns its exit code, which is negative after a kill."""
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        return code

    @property
    def output(self) -> str:
        """The output of the process."""
        return self._log.read_text()


def _run_ingest(environment: dict[str, str], data_root: str, folder: Path, die_at: int, max_file_bytes: int) -> None:
    multiprocessing.set_start_method(None, force=True)  # as in a process that a user starts
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, resource.RLIM_INFINITY))
    if die_at:
        _die_at(die_at, data_root)
    ingest(SOURCE, data_root, SimpleNamespace(path=str(folder / "raw_images"), metadata={}), parallel_transfers=4)


def _die_at(number: int, folder: str) -> None:
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        touched = event in ("open", "os.mkdir", "os.link", "os.rename", "os.remove")
        if touched and any(str(path).startswith(folder) for path in arguments[:2]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def executor_command(folder: Path, data_root: str, prelude: str = "") -> list[str]:
    """The command of the ingest step's container, on this machine.

    Args:
        folder: The folder for the step's artifact and the output of KFP's executor.
        data_root: The step's parameter.
        prelude: Python code that runs first.
    """
    artifact = {
        "name": "raw_images",
        "type": {"schemaTitle": "system.Dataset"},
        "uri": str(folder / "raw_images"),
        "metadata": {},
    }
    executor_input = {
        "inputs": {"parameterValues": {"source": SOURCE, "data_root": data_root}},
        "outputs": {
            "artifacts": {"raw_images": {"artifacts": [artifact]}},
            "outputFile": str(folder / "executor_output.json"),
        },
    }
    spec = component.component_spec.implementation.container
    assert spec.command[:4] == ["python3", "-u", "-m", "kfp.dsl.executor_main"]
    program = f"{prelude}\nimport runpy; runpy.run_module('kfp.dsl.executor_main', run_name='__main__', alter_sys=True)"
    return [sys.executable, "-u", "-c", program, *map(str, spec.command[4:-1]), json.dumps(executor_input)]


def run_executor(command: list[str], environment: dict[str, str], watch: Callable[[int], None]) -> tuple[int, str]:
    """Runs the command in the same working directory as KFP's local runner.

    Args:
        command: See `executor_command`.
        environment: Variables in addition to this process's.
        watch: Called repeatedly with the process's id until it has ended.

    Returns:
        Its exit code and its output.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, cwd=ROOT, env=kept | environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None:
            watch(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        output.seek(0)
        return process.returncode, output.read()
