import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.artifacts.manifest import Examples
from components.train.devices import Devices

ROOT = Path(__file__).parents[3]
_NUM_WORKERS = 2


@contextlib.contextmanager
def _processes(
    examples: Examples, folder: Path, num_workers: int = 1, num_cpus: int = 1, epochs: int = 2
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that train together; each writes its weights to `<folder>/<worker>.npz`."""
    folder.mkdir(exist_ok=True)
    (folder / "examples.json").write_text(examples.model_dump_json())
    addresses = [f"127.0.0.1:{_free_port()}" for _ in range(num_workers)]
    with contextlib.ExitStack() as stack:
        processes = []
        for worker in range(num_workers):
            names = [folder / "examples.json", folder / "checkpoints", folder / f"{worker}.npz"]
            command = [sys.executable, "-m", "tests.components.train.train_small", *map(str, names), str(num_cpus), str(epochs)]
            environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
            if num_workers > 1:
                task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
                environment["TF_CONFIG"] = json.dumps(task)
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = stack.enter_context(subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes))
            stack.callback(process.kill)
            processes.append(process)
        yield processes


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _finish(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output[-3000:]


def _weights(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


@pytest.mark.workers
@pytest.mark.xdist_group("workers")
def test_two_processes_learn_the_same_as_one_and_resume_when_one_dies(examples: Examples, tmp_path: Path) -> None:
    # One process with two devices has the same halves of each batch.
    with _processes(examples, tmp_path / "one", num_cpus=2) as processes:
        _finish(processes)
    with _processes(examples, tmp_path / "two", _NUM_WORKERS) as processes:
        _finish(processes)
    one, *two = (_weights(tmp_path / name) for name in ("one/0.npz", "two/0.npz", "two/1.npz"))
    for weights in two:
        assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(one, weights, strict=True))
    # Only the chief writes checkpoints.
    assert len(list((tmp_path / "two" / "checkpoints").iterdir())) == 1

    with _processes(examples, tmp_path / "killed", _NUM_WORKERS) as processes:
        _await_checkpoint(tmp_path / "killed" / "checkpoints", processes)
        processes[1].send_signal(signal.SIGKILL)
        processes[0].communicate(timeout=240)
        assert processes[0].returncode != 0  # all of them must be restarted
    with _processes(examples, tmp_path / "killed", _NUM_WORKERS) as processes:
        _finish(processes)
    for worker in range(_NUM_WORKERS):
        found = _weights(tmp_path / "killed" / f"{worker}.npz")
        assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(one, found, strict=True))


@pytest.mark.workers
@pytest.mark.xdist_group("workers")
def test_sigterm_reaches_a_worker_despite_tensorflows_server(examples: Examples, tmp_path: Path) -> None:
    with _processes(examples, tmp_path, _NUM_WORKERS, epochs=1000) as processes:
        _await_checkpoint(tmp_path / "checkpoints", processes)
        processes[0].send_signal(signal.SIGTERM)
        output, _ = processes[0].communicate(timeout=240)
    assert processes[0].returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in output


def _await_checkpoint(folder: Path, processes: Sequence[subprocess.Popen[str]]) -> None:
    while not list(folder.glob("*/*/checkpoint.json")):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


class _FourDevices:
    num_replicas_in_sync = 4


@pytest.mark.parametrize(("worker", "rows"), [(0, slice(0, 8)), (1, slice(8, 16))])
def test_workers_take_their_part_of_each_step(worker: int, rows: slice) -> None:
    assert Devices(_FourDevices(), worker, _NUM_WORKERS).rows(16) == rows  # type: ignore[arg-type]


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch_size: expected a multiple of the 4 devices\. Received: 18 images a step"):
        Devices(_FourDevices()).rows(18)  # type: ignore[arg-type]


def test_one_process_is_the_chief() -> None:
    assert Devices(tf.distribute.get_strategy()).is_chief
    assert not Devices(tf.distribute.get_strategy(), worker=1, num_workers=2).is_chief


def test_a_gpu_that_tensorflow_does_not_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: iter([Path("/dev/nvidia0")]))
    from components.train import devices  # noqa: PLC0415

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees a GPU here")
    with pytest.raises(RuntimeError, match=r"has a GPU \(/dev/nvidia0\) that TensorFlow .* cannot use"):
        devices.open_devices()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices.open_devices().num_workers == 1
