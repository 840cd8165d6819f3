"""Folders that a microscope writes to, watches on them, and a server that receives the answers."""

import contextlib
import csv
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.compiled import ROOT
from tests.components.serving.predict.conftest import FILTERS, cells_dir, large_version_dir, version_dir, version_with_maps_dir

__all__ = ["cells_dir", "large_version_dir", "version_dir", "version_with_maps_dir"]


def read_ids(path: Path) -> list[str]:
    """The ids in a CSV file; empty if there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row[0] for row in csv.reader(file)][1:]


def read_answers(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]


@contextlib.contextmanager
def started_watch(folder: Path, model: Path | str, out: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a watch, which is killed at the end if it is still running."""
    words = ["watch", folder, "--model", model, "--out", out, "--settle", "0.2", *options]
    with subprocess.Popen([sys.executable, "-m", "pipeline", *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(holds: Callable[[], bool], timeout_s: float = 120) -> None:
    until_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def copy_cells(cells: Path, folder: Path, *ids: str, filters: list[str] = FILTERS) -> None:
    for sample_id in ids:
        for name in filters:
            shutil.copyfile(cells / "train" / f"{sample_id}_{name}.png", folder / f"{sample_id}_{name}.png")


@pytest.fixture(scope="session")
def large_cells_dir(tmp_path_factory: pytest.TempPathFactory, make_folder: Callable[..., Path]) -> Path:
    """Images of 8 samples, of 128 pixels."""
    return make_folder(tmp_path_factory.mktemp("images") / "large", {f"s{number}": "0" for number in range(8)}, side_px=128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "microscope"
    made.mkdir()
    return made


class AnswerServer(ThreadingHTTPServer):
    """Records the requests posted to it.

    Attributes:
        received: The JSON of each request.
        statuses: The statuses of the next responses, then 200.
        delay_s: How long each response takes.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.delay_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/answers"


class _Handler(BaseHTTPRequestHandler):
    server: AnswerServer

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.server.delay_s)
        self.server.received.append(answer)
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[AnswerServer]:
    with AnswerServer() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
