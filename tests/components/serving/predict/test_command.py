"""`python -m pipeline predict`, as it is called."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.compiled import ROOT


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pipeline", "predict", *map(str, arguments)]


def test_predicts_a_folder_and_shows_its_progress(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").symlink_to(cells_dir)
    command = _command("--model", os.path.relpath(version_dir, tmp_path), "--images", "cells", "--out", "p.csv")
    process = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "predict | 70/70 samples, 100 %" in process.stdout
    assert "70 samples predicted, at " in process.stdout
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 71


def test_what_cannot_be_done_is_said_in_one_line(version_dir: Path, tmp_path: Path) -> None:
    process = subprocess.run(
        _command("--model", version_dir, "--images", tmp_path, "--out", tmp_path / "p.csv"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith(f"{tmp_path}: expected images such as <Id>_green.png. There are none")


def test_a_kill_leaves_no_predictions_and_no_process(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "components.serving.predict", str(version_dir), str(cells_dir), str(tmp_path / "p.csv")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 60
        while len(children := _children(process.pid)) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert children
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    assert not list(tmp_path.glob("p.*"))


def _children(parent: int) -> list[str]:
    return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
