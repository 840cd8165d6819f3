"""The examples, each in an environment that uv creates from the versions pinned in the example."""

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.compiled import ROOT
from tests.components.serving.predict.conftest import version_dir
from tests.components.serving.watch.conftest import read_answers, started_watch, wait_for

__all__ = ["version_dir"]

pytestmark = pytest.mark.long  # they download packages
_UV = Path(sys.executable).with_name("uv")


def _start(name: str, python: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [_UV, "run", "--no-python-downloads", "--python", python, "--script", ROOT / "examples" / name, *arguments]
    return subprocess.Popen(list(map(str, command)))


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_pymmcore_plus_returns_to_the_fields_for_which_the_condition_holds(
    version_dir: Path, tmp_path: Path, port: int
) -> None:
    """The example for pymmcore-plus, with its simulated microscope, returns to the fields for which the condition holds."""
    overview, stacks, out = tmp_path / "overview", tmp_path / "stacks", tmp_path / "p.csv"
    overview.mkdir()
    acquisition = _start("pymmcore_revisit.py", sys.executable, overview, stacks, "--port", port, "--idle-s", 30)
    wait_for(lambda: acquisition.poll() is not None or len(list(overview.iterdir())) == 27, timeout_s=300)
    options = ["--file-pattern", "{id}_{filter}.tif", "--intensity-range", "0:65535", "--until-idle", "1"]
    when = ["--when", "Cytosol > 0.1", "--post", f"http://127.0.0.1:{port}"]
    with started_watch(overview, version_dir, out, *options, *when) as watching:
        assert (watching.wait(120), acquisition.wait(120)) == (0, 0)
    answers = read_answers(out)
    assert len(answers) == 9
    chosen = [answer["id"] for answer in answers if answer["probabilities"]["Cytosol"] > 0.1]
    assert chosen
    assert sorted(path.name for path in stacks.iterdir()) == sorted(f"{field}_z{z}.tif" for field in chosen for z in range(5))
    assert (tmp_path / "p.failed.csv").read_text() == "Id,Reason\n"


class _Cam(socketserver.ThreadingTCPServer):
    """A minimal CAM server of LAS X for camacq: it sends a welcome message and echoes each command as confirmation."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CamHandler)
        self.received: list[str] = []


class _CamHandler(socketserver.BaseRequestHandler):
    server: _Cam

    def handle(self) -> None:
        self.request.sendall(b"Welcome\n")
        while message := self.request.recv(4096):
            self.server.received.append(message.decode())
            self.request.sendall(message)


@pytest.fixture
def cam() -> Iterator[_Cam]:
    with _Cam() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def _find_python() -> str:
    found = subprocess.run(
        [_UV, "python", "find", "--no-python-downloads", ">=3.12"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or pytest.skip("camacq needs Python 3.12")


def _post(port: int, sample_id: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps({"id": sample_id}).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_camacq_sends_the_commands_that_return_to_a_field_once(cam: _Cam, tmp_path: Path, port: int) -> None:
    """The example for camacq sends the commands that return to a field once for each field."""
    config = tmp_path / "config.yml"
    shutil.copyfile(ROOT / "examples" / "camacq_revisit.yml", config)
    config.write_text(config.read_text().replace("8895", str(cam.server_address[1])))
    process = _start("camacq_revisit.py", _find_python(), config, "--port", port)
    wait_for(lambda: process.poll() is not None or _listens(port), timeout_s=300)
    field = "slide--S00/chamber--U01--V02/field--X03--Y04/image--L0000--S00--U01--V02--J08--E{job}--O00--X03--Y04--T0000"
    assert [_post(port, field.format(job=job)) for job in ("01", "01", "02")] == [200, 200, 200]
    assert _post(port, "a-name-without-a-field") == 400
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    commands = [message.partition("/cmd:")[2].split() for message in cam.received]
    assert [command[0] for command in commands] == ["deletelist", "add", "startcamscan"]
    assert {"/exp:HighResolution", "/wellx:2", "/welly:3", "/fieldx:4", "/fieldy:5"} <= set(commands[1])
