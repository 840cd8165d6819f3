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

from tests.components.conftest import make_folder, make_pixels, make_png
from tests.components.serving.predict.conftest import cells_dir, version_dir
from tests.pipeline.commands.conftest import invoke

__all__ = ["cells_dir", "make_folder", "make_pixels", "make_png", "version_dir"]

_TIMEOUT_S = 60


@pytest.fixture
def started(version_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints. Temporary files go below `tmp_path`."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    command = [sys.executable, "-m", "pipeline", "serve", "--model", str(version_dir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            line = next(line for line in process.stdout if "open http" in line)
            yield process, re.findall(r"http://[\d.:]+", line)[0]
        finally:
            process.kill()


def _children(pid: int) -> list[str]:
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def _check_nothing_is_left(children: list[str], temporary: Path) -> None:
    end_s = time.monotonic() + _TIMEOUT_S
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < end_s
        time.sleep(0.1)
    assert list(temporary.iterdir()) == []


def test_sigterm_lets_requests_finish_and_leaves_nothing(
    started: tuple[subprocess.Popen[str], str], cells_dir: Path, tmp_path: Path
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
    answer = requests.post(f"{url}/predict", slowly(), headers=headers, timeout=_TIMEOUT_S)
    assert len(answer.json()["samples"]) == 7
    assert process.wait(_TIMEOUT_S) == -signal.SIGTERM
    _check_nothing_is_left(children, tmp_path / "temporary")


def test_kill_leaves_nothing(started: tuple[subprocess.Popen[str], str], cells_dir: Path, tmp_path: Path) -> None:
    process, url = started
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/s00_*.png"))]
    assert requests.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S).ok
    children = _children(process.pid)
    assert children
    process.kill()
    process.wait(_TIMEOUT_S)
    _check_nothing_is_left(children, tmp_path / "temporary")


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
