"""Measures the images per second that a GPU trains on and predicts: first InceptionResNetV2 here and in timm, then the rest.

    python -m benchmarks.gpu | tee gpu.md
    python -m benchmarks.gpu --rows "train inception_resnet_v2" --time-limit-s 120
    python -m benchmarks.gpu --image-size-px 75 --batch-size 2 --steps 2      (a trial on a CPU)

It runs on a bare machine with Python and any of TensorFlow, JAX (with Keras) and PyTorch (with timm). Rows with missing
packages say so. Each row has its own process and time limit, and is printed when it ends.

Networks have random weights, and all layers learn. Batches are always the same noise, from host memory as uint8, as in
training. Rates are those of whole steps after the first ones, in which graphs are compiled. Peak memory is the GPU's, or
without one the process's. On TensorFlow, `xla` compiles the whole step; JAX always does. PyTorch runs in channels_last with
autocast. `input pipeline` is that of training, without a network.
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_NUM_CLASSES = 28
_WARM_UP_STEPS = 3
# The packages of each framework's rows.
NEEDED = {"tensorflow": ("tensorflow",), "jax": ("jax", "keras"), "pytorch": ("torch", "timm"), "numpy": ("numpy",)}
_COLUMNS = ("task", "network", "framework", "precision", "batch", "images/s", "peak memory, MB", "on")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        task: `train`, `predict` or `input pipeline`.
        framework: One of `NEEDED`.
        precision: `float32`, `float16` or `bfloat16`.
        network: The name of a backbone.
        compiler: `xla`, `compile` (PyTorch's) or none.
        batch_size: The images of a batch; 0 for that of the command line.
    """

    task: str
    framework: str
    precision: str = ""
    network: str = "inception_resnet_v2"
    compiler: str = ""
    batch_size: int = 0

    @property
    def name(self) -> str:
        """Its unique name."""
        words = self.task, self.network, self.framework, self.precision, self.compiler, self.batch_size
        return " ".join(str(word) for word in words if word)


def _all_rows() -> Iterator[Row]:
    yield Row("train", "tensorflow", "bfloat16", compiler="xla")
    for precision in ("bfloat16", "float16", "float32"):
        yield Row("train", "pytorch", precision)
        yield Row("train", "tensorflow", precision)
        if precision != "bfloat16":
            yield Row("train", "tensorflow", precision, compiler="xla")
        yield Row("train", "jax", precision, compiler="xla")
    yield Row("train", "pytorch", "bfloat16", compiler="compile")
    for network in ("densenet121", "convnext_tiny", "efficientnet_v2_s"):
        for compiler in ("", "xla"):
            yield Row("train", "tensorflow", "bfloat16", network, compiler)
    yield Row("input pipeline", "numpy", network="")
    for batch_size in (1, 16, 64):
        for precision in ("float32", "bfloat16"):
            yield Row("predict", "tensorflow", precision, batch_size=batch_size)
        yield Row("predict", "tensorflow", "bfloat16", compiler="xla", batch_size=batch_size)
        yield Row("predict", "pytorch", "bfloat16", batch_size=batch_size)


ROWS = {row.name: row for row in _all_rows()}


def _measure_keras(row: Row, image_size_px: int, num_steps: int) -> dict[str, Any]:
    os.environ["KERAS_BACKEND"] = row.framework
    import keras  # noqa: PLC0415 (each row has its own process)
    import numpy as np  # noqa: PLC0415

    from components.train.model import BACKBONES, build_model  # noqa: PLC0415

    keras.config.set_dtype_policy(row.precision if row.precision == "float32" else f"mixed_{row.precision}")
    shape = (image_size_px, image_size_px, 3)
    backbone = BACKBONES[row.network].make(include_top=False, weights=None, input_shape=shape)
    model = build_model(backbone, np.full(3, 60.0), np.full(3, 50.0), _NUM_CLASSES, dropout=0.5)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=row.compiler == "xla")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (row.batch_size, *shape), dtype=np.uint8)
    labels = random.integers(0, 2, (row.batch_size, _NUM_CLASSES)).astype(np.float32)

    def train(steps: int) -> None:
        model.fit(((pixels, labels) for _ in itertools.count()), steps_per_epoch=steps, verbose=0)

    def predict(steps: int) -> None:
        for _ in range(steps):
            model.predict_on_batch(pixels)

    rate = _images_per_s(train if row.task == "train" else predict, row.batch_size, num_steps)
    return {"rate": rate, **(_tensorflow_state() if row.framework == "tensorflow" else _jax_state())}


def _tensorflow_state() -> dict[str, Any]:
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.list_physical_devices("GPU")
    on = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU") if gpus else "CPU"
    peak_bytes = tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else _host_peak_bytes()
    return {"peak_bytes": peak_bytes, "on": f"{on}, TensorFlow {tf.__version__}"}


def _jax_state() -> dict[str, Any]:
    import jax  # noqa: PLC0415

    device = jax.local_devices()[0]
    on = "CPU" if device.platform == "cpu" else device.device_kind
    peak_bytes = (device.memory_stats() or {}).get("peak_bytes_in_use", _host_peak_bytes())
    return {"peak_bytes": peak_bytes, "on": f"{on}, JAX {jax.__version__}"}


def _measure_pytorch(row: Row, image_size_px: int, num_steps: int) -> dict[str, Any]:
    import timm  # noqa: PLC0415
    import torch  # noqa: PLC0415

    is_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if is_gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32, which TensorFlow uses by default
    network = timm.create_model(row.network, num_classes=_NUM_CLASSES).to(device, memory_format=torch.channels_last)
    network.train(row.task == "train")
    forward = torch.compile(network) if row.compiler == "compile" else network
    pixels = torch.randint(0, 256, (row.batch_size, 3, image_size_px, image_size_px), dtype=torch.uint8)
    pixels = pixels.to(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (row.batch_size, _NUM_CLASSES)).float()
    if is_gpu:
        pixels, labels = pixels.pin_memory(), labels.pin_memory()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    scaler = torch.amp.GradScaler(device.type, enabled=row.precision == "float16")

    def logits() -> Any:
        images = (pixels.to(device, non_blocking=True).float() - 60) / 50
        with torch.autocast(device.type, getattr(torch, row.precision), enabled=row.precision != "float32"):
            return forward(images).float()

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(), labels.to(device, non_blocking=True))
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        loss.item()  # waits for the device

    def predict(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                logits().sigmoid().cpu()

    rate = _images_per_s(train if row.task == "train" else predict, row.batch_size, num_steps)
    on = torch.cuda.get_device_name() if is_gpu else "CPU"
    peak_bytes = torch.cuda.max_memory_allocated() if is_gpu else _host_peak_bytes()
    return {"rate": rate, "peak_bytes": peak_bytes, "on": f"{on}, PyTorch {torch.__version__}, timm {timm.__version__}"}


def _measure_inputs(row: Row, image_size_px: int, num_steps: int) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415

    from components.train.inputs import plan_epoch, training_batches  # noqa: PLC0415
    from components.train.recipes import RECIPES  # noqa: PLC0415

    class Noise:
        """Examples in memory, like files in the page cache."""

        shape = (image_size_px, image_size_px, 3)
        images = np.random.default_rng(0).integers(0, 256, (1000, *shape), dtype=np.uint8)
        labels = np.zeros((len(images), _NUM_CLASSES), bool)

        def __len__(self) -> int:
            return len(self.images)

        def pixels(self, number: int) -> Any:
            return self.images[number]

    examples: Any = Noise()
    plan = lru_cache(maxsize=2)(partial(plan_epoch, examples, replace(RECIPES["paper"], batch_size=row.batch_size), 0))
    batches = training_batches(examples, plan, range(1_000_000))

    def take(steps: int) -> None:
        for _ in range(steps):
            next(batches)

    rate = _images_per_s(take, row.batch_size, 50 * num_steps)  # of milliseconds each
    return {"rate": rate, "peak_bytes": _host_peak_bytes(), "on": f"CPU, NumPy {np.__version__}"}


def _images_per_s(run: Callable[[int], None], batch_size: int, num_steps: int) -> float:
    """Times steps after a warm-up in which graphs are compiled. `run` waits for the device."""
    run(_WARM_UP_STEPS)
    started_s = time.perf_counter()
    run(num_steps)
    return batch_size * num_steps / (time.perf_counter() - started_s)


def _host_peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_MEASURE = {"tensorflow": _measure_keras, "jax": _measure_keras, "pytorch": _measure_pytorch, "numpy": _measure_inputs}


def measure(row: Row, options: argparse.Namespace) -> str:
    """Measures a row in its own process, and returns its line of the table: figures, or why there are none."""
    computing, batch_size = f"{row.precision} {row.compiler}".strip(), row.batch_size or options.batch_size
    cells = [row.task, row.network, row.framework, computing, str(batch_size)]
    if missing := [package for package in NEEDED[row.framework] if not importlib.util.find_spec(package)]:
        return _line([*cells, f"not installed: {', '.join(missing)}"])
    numbers = {"image-size-px": options.image_size_px, "batch-size": options.batch_size, "steps": options.steps}
    command = [sys.executable, "-m", "benchmarks.gpu", "--row", row.name]
    command += [f"--{name}={number}" for name, number in numbers.items()]
    with tempfile.TemporaryFile("w+") as output:  # not a pipe: compilers that outlive the row would keep it open
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(options.time_limit_s)
        except subprocess.TimeoutExpired:
            return _line([*cells, f"takes longer than {options.time_limit_s:g} s"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read().split("\n")
    last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
    if process.returncode:
        return _line([*cells, f"failed: {last[:200]}"])
    result = json.loads(last)
    return _line([*cells, f"{result['rate']:.1f}", f"{result['peak_bytes'] / 1e6:.0f}", result["on"]])


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join([*escaped, *[''] * (len(_COLUMNS) - len(cells))])} |"


def main() -> None:
    """Prints the table row by row; with --row, measures that one here and prints its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size-px", type=int, default=299)
    parser.add_argument("--batch-size", type=int, default=64, help="the batch size of training; predictions have fixed sizes")
    parser.add_argument("--steps", type=int, default=30, help=f"how many steps to time after the first {_WARM_UP_STEPS}")
    parser.add_argument("--time-limit-s", type=float, default=300, help="the time limit of each row")
    parser.add_argument("--rows", nargs="+", default=[""], help="only rows whose names contain one of these, such as jax")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        row = ROWS[options.row]
        row = replace(row, batch_size=row.batch_size or options.batch_size)
        print(json.dumps(_MEASURE[row.framework](row, options.image_size_px, options.steps)), flush=True)
        os._exit(0)  # without waiting for reader threads and devices
    chosen = [row for name, row in ROWS.items() if any(part in name for part in options.rows)]
    if not chosen:
        parser.error(f"no row has {' or '.join(options.rows)} in its name. They are: {', '.join(ROWS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the current row also ends
    print(f"{options.image_size_px} px, {options.steps} steps; Python {platform.python_version()} on {platform.machine()}.\n")
    print(_line(_COLUMNS), f"|{'---|' * 5}{'---:|' * 2}---|", sep="\n", flush=True)
    for row in chosen:
        print(measure(row, options), flush=True)


if __name__ == "__main__":
    main()
