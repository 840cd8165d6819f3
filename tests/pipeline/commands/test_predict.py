import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
    done = invoke("predict", "--model", os.path.relpath(version_dir, tmp_path), "--images", "cells", "--out", "p.csv", "--html")
    assert (done.exit_code, done.stderr) == (0, "")
    shown = capfd.readouterr().out
    assert "predict | 70/70 samples, 100 %" in shown
    assert "70 samples predicted, at " in shown
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 71
    assert (tmp_path / "p.html").read_text().count("<figure") == 70


def test_an_error_is_one_line(version_dir: Path, tmp_path: Path) -> None:  # noqa: F811
    refused = invoke("predict", "--model", version_dir, "--images", tmp_path, "--out", tmp_path / "p.csv")
    assert refused.exit_code == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"{tmp_path}: expected images such as <Id>_green.png. There are none")


def test_predict_fails_if_no_image_can_be_used(version_dir: Path, tmp_path: Path) -> None:  # noqa: F811
    for name in ("red", "green", "blue"):
        (tmp_path / f"a_{name}.png").write_bytes(b"none")
    refused = invoke("predict", "--model", version_dir, "--images", tmp_path, "--out", tmp_path / "p.csv")
    assert refused.exit_code == 1
    assert refused.stderr == f"No image could be used, of 1 sample: see {tmp_path}/p.bad.csv\n"
    assert len((tmp_path / "p.bad.csv").read_text().splitlines()) == 2


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
def test_only_tensorflows_startup_log_is_hidden(line: str, is_shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    _show_unless_greeting(line)
    assert capsys.readouterr().err == (line if is_shown else "")


_KILLED = "The prediction process was killed, most likely because memory ran out. Nothing was written."


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (lambda command, _: os.killpg(command, signal.SIGINT), 130, "Stopped. Nothing was written."),  # as a terminal does
        (lambda _, predicting: os.kill(predicting, signal.SIGKILL), 1, _KILLED),
        (lambda command, _: os.kill(command, signal.SIGKILL), -signal.SIGKILL, ""),
    ],
    ids=["interrupted", "predicting process killed", "command killed"],
)
def test_stopping_or_killing_it_leaves_no_predictions_and_no_process(
    version_dir: Path,  # noqa: F811
    cells_dir: Path,  # noqa: F811
    tmp_path: Path,
    end: Callable[[int, int], None],
    status: int,
    said: str,
) -> None:
    places = ["--model", str(version_dir), "--images", str(cells_dir), "--out", str(tmp_path / "p.csv")]
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "pipeline", "predict", *places],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        ) as process,
    ):
        deadline_s = time.monotonic() + 120
        while len(working := _spawned(process.pid)) < 2 and time.monotonic() < deadline_s:  # it predicts, and decodes
            time.sleep(0.02)
        end(process.pid, working[0])
    assert process.returncode == status
    lines = (tmp_path / "errors").read_text().splitlines()  # Python may warn of what the killed process has left
    assert not said or said in lines
    while any(Path(f"/proc/{one}").exists() for one in working) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not [one for one in working if Path(f"/proc/{one}").exists()]
    assert not list(tmp_path.glob("p.*"))


def _spawned(parent: int) -> list[int]:
    """The worker processes that Python has spawned below a process, from the top down."""
    children = [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    working = [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return [*working, *(below for child in working for below in _spawned(child))]
