import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.commands.predict import _show_unless_greeting
from pipeline.compiled import ROOT
from tests.components.conftest import make_folder, make_pixels, make_png  # noqa: F401 (fixtures)
from tests.components.serving.predict.conftest import cells_dir, version_dir  # noqa: F401 (fixtures)
from tests.pipeline.commands.conftest import invoke


def test_predicts_a_folder_and_shows_its_progress(
    version_dir: Path,  # noqa: F811
    cells_dir: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells").symlink_to(cells_dir)
    done = invoke("predict", "--model", os.path.relpath(version_dir, tmp_path), "--images", "cells", "--out", "p.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    shown = capfd.readouterr().out
    assert "predict | 70/70 samples, 100 %" in shown
    assert "70 samples predicted, at " in shown
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 71


def test_an_error_is_one_line(version_dir: Path, tmp_path: Path) -> None:  # noqa: F811
    refused = invoke("predict", "--model", version_dir, "--images", tmp_path, "--out", tmp_path / "p.csv")
    assert refused.exit_code == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"{tmp_path}: expected images such as <Id>_green.png. There are none")


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        ("WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n", False),
        ("I0000 00:00:1795709367.880272    5052 cudart_stub.cc:31] Could not find cuda drivers\n", False),
        ("E0000 00:00:1795709378.693227    5052 cuda_platform.cc:52] failed call to cuInit\n", False),
        ("F0000 00:00:1795709378.693227    5052 cpu_feature_guard.cc:16] needs AVX\n", True),
        ("line without an end", True),
    ],
)
def test_only_the_greeting_of_tensorflow_is_hidden(line: str, is_shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    _show_unless_greeting(line)
    assert capsys.readouterr().err == (line if is_shown else "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_interrupt_or_a_kill_leaves_no_predictions_and_no_process(
    version_dir: Path,  # noqa: F811
    cells_dir: Path,  # noqa: F811
    tmp_path: Path,
    number: signal.Signals,
    status: int,
) -> None:
    places = ["--model", str(version_dir), "--images", str(cells_dir), "--out", str(tmp_path / "p.csv")]
    command = [sys.executable, "-m", "pipeline", "predict", *places]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=ROOT, **options) as process:
        assert process.stdout is not None
        while "predict | started" not in (line := process.stdout.readline()):
            assert line
        deadline_s = time.monotonic() + 60
        while _num_spawned(children := _descendants(process.pid)) < 2 and time.monotonic() < deadline_s:  # it predicts, decodes
            time.sleep(0.02)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    if number == signal.SIGINT:
        assert errors == "Stopped. Nothing was written.\n"
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert not list(tmp_path.glob("p.*"))


def _descendants(parent: int | str) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [*children, *(below for child in children for below in _descendants(child))]


def _num_spawned(processes: list[str]) -> int:
    return sum(b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes() for process in processes)
