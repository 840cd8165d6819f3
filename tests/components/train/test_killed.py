import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from components.artifacts.manifest import Examples

ROOT = Path(__file__).parents[3]
_NUM_EPOCHS = 3


def _start(examples: Examples, folder: Path) -> subprocess.Popen[str]:
    """Trains in a separate process, which saves after every step."""
    folder.mkdir(exist_ok=True)
    (folder / "examples.json").write_text(examples.model_dump_json())
    names = [folder / "examples.json", folder / "checkpoints", folder / "weights.npz"]
    command = [sys.executable, "-m", "tests.components.train.train_small", *map(str, names), "1", str(_NUM_EPOCHS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]
    return output


@pytest.mark.slow
@pytest.mark.xdist_group("train_killed")
def test_a_training_killed_with_sigkill_resumes_bit_for_bit(examples: Examples, tmp_path: Path) -> None:
    _finish(_start(examples, tmp_path / "whole"))
    with _start(examples, tmp_path / "killed") as process:
        # At some step of the second epoch.
        while not list((tmp_path / "killed" / "checkpoints").glob("*/*-00001/checkpoint.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "weights.npz").exists()
    assert "resuming after step" in _finish(_start(examples, tmp_path / "killed"))
    with np.load(tmp_path / "whole" / "weights.npz") as whole, np.load(tmp_path / "killed" / "weights.npz") as killed:
        assert all(np.array_equal(whole[name], killed[name]) for name in whole.files)
    assert (tmp_path / "whole" / "weights.json").read_text() == (tmp_path / "killed" / "weights.json").read_text()
