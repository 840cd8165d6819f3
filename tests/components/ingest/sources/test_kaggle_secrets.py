"""The ingest step, run as by KFP, reveals no secret in its output, in files, or in the arguments of processes."""

import contextlib
import gzip
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.components.ingest.competition import PADDING, executor_command, folder_files, run_executor, signed_in
from tests.components.ingest.kaggle_server import Answer, Body, Exchange, KaggleServer
from tests.components.ingest.zip_files import make_zip

# With the full logs of all libraries, and short waits before retries.
_TALKATIVE = """
import logging; logging.basicConfig(level=logging.DEBUG)
from components.ingest.archive import retry; retry.FIRST_WAIT_S = 0.001
"""

# As in the step's image: KFP imports only what running a step takes.
_QUICK = {"_KFP_RUNTIME": "true"}


@pytest.fixture
def server(tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        cells = make_folder(tmp_path / "cells", {f"s{number}": "0" for number in range(20)}, side_px=64)
        server.archive.write_bytes(make_zip([*folder_files(cells), PADDING]))
        yield server


@pytest.fixture
def run(server: KaggleServer, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs the step with more environment variables, searches for secrets, and returns its exit code and output."""

    def run_it(**environment: str) -> tuple[int, str]:
        folders = {name: tmp_path / "run" / name for name in ("home", "temporary", "artifacts", "data")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        environment |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"])}
        command = executor_command(folders["artifacts"], str(folders["data"]), _TALKATIVE)
        arguments: set[str] = set()
        code, output = run_executor(command, environment, lambda number: arguments.update(_arguments_of_processes_from(number)))
        assert any("executor_main" in line for line in arguments)
        files = {str(path): _content(path) for path in (tmp_path / "run").rglob("*") if path.is_file()}
        hidden = [*server.secrets, environment.get("KAGGLE_API_TOKEN") or server.token]
        for secret in hidden:
            assert secret not in output
            assert not any(secret in line for line in arguments)
            assert not [name for name, data in files.items() if secret.encode() in name.encode() + data]
        assert "INFO:root:" in output  # the root logger was configured above
        return code, output

    return run_it


def _arguments_of_processes_from(number: int) -> set[str]:
    """The command lines of a process and of all its descendants."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        found.add(Path(f"/proc/{number}/cmdline").read_text())
        for task in Path(f"/proc/{number}/task").iterdir():
            for child in (task / "children").read_text().split():
                found |= _arguments_of_processes_from(int(child))
    return found


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_a_successful_run_reveals_no_secret(server: KaggleServer, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    def expire(exchange: Exchange, pieces: Body) -> Body:
        if "Range" in exchange.headers and len(server.archive_exchanges) == 4:
            server.expire_addresses()
        return pieces

    server.change_body = expire
    code, output = run()
    assert (code, "done in" in output) == (0, True), output
    assert len(server.signatures) == 2
    assert "requesting a new one" in output
    assert list((tmp_path / "run" / "data").rglob("*.csv.gz"))
    assert (tmp_path / "run" / "artifacts" / "executor_output.json").is_file()


def test_a_refused_run_with_name_and_key_reveals_no_secret(server: KaggleServer, run: Callable[..., tuple[int, str]]) -> None:
    server.rules_accepted = False
    code, output = run(**_QUICK, KAGGLE_API_TOKEN="", KAGGLE_USERNAME=server.username, KAGGLE_KEY=server.key)
    assert (code, "accept the competition's rules at" in output) == (1, True), output
    assert server.api_exchanges[0].headers["Authorization"].startswith("Basic ")


def test_a_run_with_a_wrong_token_reveals_no_secret(run: Callable[..., tuple[int, str]]) -> None:
    code, output = run(**_QUICK, KAGGLE_API_TOKEN=f"KGAT_{secrets.token_hex(16)}")
    assert (code, "Kaggle does not accept the credentials in KAGGLE_API_TOKEN" in output) == (1, True), output


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(then="reset"), "Connection reset by peer"),
        (Answer(503, "Not now"), "server responds with status 503"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/?SECRET"}), "server cannot be reached: Connection refused"),
        (Answer(206, body=b"", headers={"a header with spaces": "of which urllib3 warns"}), "no Content-Range"),
    ],
)
def test_a_failing_run_reveals_no_secret(
    server: KaggleServer, run: Callable[..., tuple[int, str]], answer: Answer, message: str
) -> None:
    headers = {name: value.replace("SECRET", server.new_address()) for name, value in answer.headers.items()}

    def fail(_: Exchange, pieces: Body) -> Body:
        server.archive_answers.extend([replace(answer, headers=headers)] * 1000)
        return pieces

    server.change_body = fail
    code, output = run(**_QUICK)
    assert (code, message in output) == (1, True), output
