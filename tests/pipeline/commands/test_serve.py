import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.components.conftest import make_folder, make_pixels, make_png
from tests.components.serving.predict.conftest import FILTERS, cells_dir, version_dir

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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(
    started: tuple[subprocess.Popen[str], str], number: signal.Signals, cells_dir: Path, tmp_path: Path
) -> None:
    process, url = started
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/s0?_*.png"))]
    answer = requests.post(f"{url}/predict", files=files, timeout=_TIMEOUT_S)
    assert len(answer.json()["samples"]) == len(files) // len(FILTERS)
    children = _children(process.pid)
    assert children
    process.send_signal(number)
    process.wait(_TIMEOUT_S)
    assert process.returncode == {signal.SIGINT: 130}.get(number, -number)
    end_s = time.monotonic() + _TIMEOUT_S
    while any(Path("/proc", child).exists() for child in children):
        assert time.monotonic() < end_s
        time.sleep(0.1)
    assert list((tmp_path / "temporary").iterdir()) == []


def _children(pid: int) -> list[str]:
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_request_in_flight_is_answered_before_the_end(started: tuple[subprocess.Popen[str], str], cells_dir: Path) -> None:
    process, url = started
    files = [("files", (path.name, path.read_bytes())) for path in sorted(cells_dir.glob("train/*.png"))]
    body = requests.Request("POST", f"{url}/predict", files=files).prepare()
    assert isinstance(body.body, bytes)

    def slowly(content: bytes) -> Iterator[bytes]:
        yield content[:1000]
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        yield content[1000:]

    answer = requests.post(f"{url}/predict", slowly(body.body), headers=body.headers, timeout=_TIMEOUT_S)
    assert len(answer.json()["samples"]) == len(files) // len(FILTERS)
    assert process.wait(_TIMEOUT_S) == -signal.SIGTERM


def test_missing_model_and_taken_port_are_reported(version_dir: Path, started: tuple[subprocess.Popen[str], str]) -> None:
    port = started[1].rpartition(":")[2]
    for options, expected in (
        (["--model", "nowhere/hpa"], "nowhere/hpa: expected a version"),
        (["--model", str(version_dir), "--port", port], "in use"),
        (["--model", str(version_dir), "--filters", "red=a"], "expected a name of its own"),
    ):
        finished = subprocess.run(
            [sys.executable, "-m", "pipeline", "serve", *options], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 1
        assert expected in finished.stderr, finished.stderr
