import contextlib
import itertools
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components import storage
from tests.components.conftest import make_folder, make_pixels, make_png
from tests.components.serving.predict.conftest import cells_dir, version_dir
from tests.components.serving.server.conftest import promote_version
from tests.components.serving.watch.conftest import wait_for
from tests.object_stores import Faults, answer, reset, reset_after_it_is_done, silent, truncate
from tests.pipeline.commands.conftest import invoke

__all__ = ["cells_dir", "make_folder", "make_pixels", "make_png", "version_dir"]

_TIMEOUT_S = 60


@contextlib.contextmanager
def _started(model: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Starts the command, and returns it with the address that it prints."""
    command = [sys.executable, "-m", "pipeline", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            line = next(line for line in process.stdout if "open http" in line)
            yield process, re.findall(r"http://[\d.:]+", line)[0]
        finally:
            process.kill()


@pytest.fixture
def started(version_dir: Path, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of `version_dir`."""
    with _started(str(version_dir)) as server:
        yield server


def _children(pid: int) -> list[str]:
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def _check_nothing_is_left(children: list[str], temporary: Path) -> None:
    end_s = time.monotonic() + _TIMEOUT_S
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < end_s
        time.sleep(0.1)
    assert list(temporary.iterdir()) == []


def test_sigterm_lets_requests_finish_and_leaves_nothing(
    started: tuple[subprocess.Popen[str], str], cells_dir: Path, temporary: Path
) -> None:
    process, url = started
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/s?0_*.png"))]
    request = requests.Request("POST", f"{url}/predict", files=files).prepare()
    body = request.body
    assert isinstance(body, bytes)

    def slowly() -> Iterator[bytes]:
        yield body[:1000]
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        yield body[1000:]

    headers = {"Content-Type": request.headers["Content-Type"]}
    children = _children(process.pid)
    response = requests.post(f"{url}/predict", slowly(), headers=headers, timeout=_TIMEOUT_S)
    assert len(response.json()["samples"]) == 7
    assert process.wait(_TIMEOUT_S) == -signal.SIGTERM
    _check_nothing_is_left(children, temporary)


def test_a_killed_server_leaves_no_process_and_no_file(
    started: tuple[subprocess.Popen[str], str], cells_dir: Path, temporary: Path
) -> None:
    process, url = started
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/s00_*.png"))]
    assert requests.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S).ok
    children = _children(process.pid)
    assert children
    process.kill()
    process.wait(_TIMEOUT_S)
    _check_nothing_is_left(children, temporary)


def _version(url: str, cells_dir: Path) -> str:
    """Requests a prediction and returns the version that made it."""
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/s00_*.png"))]
    response = requests.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S)
    assert response.status_code == 200
    assert len(response.json()["samples"][0]["probabilities"]) == 3
    return str(response.json()["version"])


@pytest.mark.long
@pytest.mark.object_store
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
def test_a_server_survives_faults_of_its_store_and_kills(
    remote_root: str, faults: Faults, version_dir: Path, cells_dir: Path, temporary: Path
) -> None:
    """`serve` starts while its store loses answers, answers while the store is silent, and starts again after a kill."""
    for version in (1, 2):
        storage.create_tree(version_dir, f"{remote_root}/hpa/{version}")
    promote_version(remote_root, 1)
    lost = [reset_after_it_is_done, reset, truncate, answer(503), lambda _: False]
    faults.planned = list(itertools.islice(itertools.cycle(lost), 100))
    with _started(f"{remote_root}/hpa") as (process, url):
        assert len(faults.planned) < 90
        faults.planned = []
        assert _version(url, cells_dir) == "1"
        promote_version(remote_root, 2)
        faults.planned = [silent] * 1000
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            assert _version(url, cells_dir) == "1"
        faults.planned = []
        # Requests that were sent to a silent store are given up after a minute.
        wait_for(lambda: _version(url, cells_dir) == "2", timeout_s=150)
        process.kill()
        process.wait()
    with _started(f"{remote_root}/hpa") as (process, url):
        assert _version(url, cells_dir) == "2"
        faults.planned = [silent] * 1000
        time.sleep(5)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
    assert list(temporary.iterdir()) == []


def test_a_failed_start_is_reported(version_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for options, expected in (
            (["--model", "nowhere/hpa"], "nowhere/hpa: expected a version"),
            (["--model", str(version_dir), "--port", str(taken.getsockname()[1])], "in use"),
            (["--model", str(version_dir), "--filters", "red=a"], "expected a name of its own"),
        ):
            done = invoke("serve", *options)
            assert done.exit_code == 1
            assert expected in done.stderr
