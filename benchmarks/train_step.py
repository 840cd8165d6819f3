"""Measures the images per second of training, by precision and with XLA, compared with plain `fit` in float32.

    python -m benchmarks.train_step                                      (about 12 minutes on two cores)
    python -m benchmarks.train_step --image-sizes-px 75 --steps 20
    python -m benchmarks.train_step --ways "fit float32" float16 "float32 xla"

The network is InceptionResNetV2 with random weights. All layers learn, in batches of 16 with the paper's recipe. The images are
noise in memory: reading is measured by `benchmarks.input_pipeline`. Each variant has its own process. The time to the first
step includes building graphs; the rate is that of the median step after it. Plain `fit` augments like the paper, by Keras's
layers. The last column is the share of the training loop's time outside the step's graph: batches to tensors, learning rates,
reading losses. On a GPU, which keeps working while the host prepares the next step, it includes the host's waiting time.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from components.artifacts.labels import CLASS_NAMES

_BATCH = 16
_WAYS = ("fit float32", "float32", "bfloat16", "bfloat16 xla", "float32 xla", "float16")
_USUAL_WAYS = _WAYS[:4]


def _batch(image_size_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (_BATCH, image_size_px, image_size_px, 3), dtype=np.uint8)
    labels = (random.random((_BATCH, len(CLASS_NAMES))) < 0.06).astype(np.float32)
    return pixels, random.uniform(-1, 1, (_BATCH, 2)).astype(np.float32), labels


def _step_of(way: str, image_size_px: int) -> tuple[Callable[[], object], Callable[[int], float] | None]:
    """A function that takes one training step, and one for the share of time outside of the steps in the training loop."""
    import keras  # noqa: PLC0415 (each variant has its own process)
    import tensorflow as tf  # noqa: PLC0415

    from components.train import fit  # noqa: PLC0415
    from components.train.checkpoint import Checkpoints  # noqa: PLC0415
    from components.train.devices import Devices, open_devices  # noqa: PLC0415
    from components.train.learner import Learner  # noqa: PLC0415
    from components.train.model import build_backbone, build_model  # noqa: PLC0415
    from components.train.precision import computing_in  # noqa: PLC0415
    from components.train.recipes import RECIPES  # noqa: PLC0415

    recipe, batch = RECIPES["paper"], _batch(image_size_px)
    precision, _, compiler = way.removeprefix("fit ").partition(" ")
    # On a CPU, training is deterministic, except with XLA, which has no deterministic gradient of max pooling.
    strategy = tf.distribute.get_strategy() if compiler else open_devices().strategy
    with computing_in(precision):
        backbone = build_backbone("inception_resnet_v2", image_size_px, 3, "none")
        network = build_model(backbone, np.full(3, 60.0), np.full(3, 50.0), len(CLASS_NAMES), recipe.dropout)
        if way.startswith("fit "):
            layers = [
                keras.layers.RandomFlip(),
                keras.layers.RandomRotation(recipe.rotation_turns, fill_mode="reflect"),
                keras.layers.RandomBrightness(recipe.brightness, value_range=(0, 255)),
            ]
            model = keras.Sequential([keras.Input((image_size_px, image_size_px, 3)), *layers, network])
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(recipe.learning_rate), loss, jit_compile=False)
            return lambda: model.train_on_batch(batch[0].astype(np.float32), batch[2]), None

        class CompiledLearner(Learner):
            def _differentiate(self, learning: Any, images: Any, labels: Any) -> Any:
                # All but the rotation, which XLA does not support.
                return tf.function(partial(Learner._differentiate, self, learning), jit_compile=True)(images, labels)

        learner = (CompiledLearner if compiler == "xla" else Learner)(network, recipe, 1000, strategy)
    tensors: Any = tuple(tf.constant(part) for part in batch)

    def share_outside(num_steps: int) -> float:
        graph, taken_s = learner._whole_step, [0.0]

        def timed(*arguments: object) -> object:
            started_s = time.perf_counter()
            loss = graph(*arguments)
            taken_s[0] += time.perf_counter() - started_s
            return loss

        learner._whole_step = timed
        devices = Devices(strategy)
        with tempfile.TemporaryDirectory() as folder:
            training = fit._Training(learner, recipe, Checkpoints(folder), devices)
            started_s = time.perf_counter()
            for _ in range(num_steps):
                training.step(devices.distribute(batch), 1000)
            training.check_losses()
        return 1 - taken_s[0] / (time.perf_counter() - started_s)

    return lambda: float(learner.step(tensors, recipe.learning_rate)), share_outside


def child() -> None:
    """The main function of the fresh process. Prints seconds to the first step, images/s, peak memory in MB, and the share."""
    way, image_size_px, num_steps = sys.argv[1:]
    step, share_outside = _step_of(way, int(image_size_px))
    started_s = time.perf_counter()
    step()
    first_s = time.perf_counter() - started_s
    taken_s = []
    for _ in range(int(num_steps)):
        started_s = time.perf_counter()
        step()
        taken_s.append(time.perf_counter() - started_s)
    rate, memory_mb = _BATCH / statistics.median(taken_s), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([first_s, rate, memory_mb, share_outside(int(num_steps)) if share_outside else None]))


def main() -> None:
    """Measures all variants and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-sizes-px", type=int, nargs="+", default=[75, 149, 299])
    parser.add_argument("--steps", type=int, default=5, help="how many steps to time after the first")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=_USUAL_WAYS)
    options = parser.parse_args()
    print(f"Batches of {_BATCH}, all layers; {describe_machine()}.\n")
    print("| px | | images/s | of plain fit | s to the first step | MB | outside the step |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for image_size_px in options.image_sizes_px:
        plain = None
        for way in options.ways:
            command = [sys.executable, "-c", "from benchmarks.train_step import child; child()"]
            arguments = [way, str(image_size_px), str(options.steps)]
            output = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout
            first_s, rate, memory_mb, share = json.loads(output.splitlines()[-1])
            plain = plain or rate
            cells = [image_size_px, way, f"{rate:.1f}", f"{rate / plain:.2f}", f"{first_s:.0f}", f"{memory_mb:.0f}"]
            print(f"| {' | '.join(map(str, cells))} | {'' if share is None else f'{share:.1%}'} |", flush=True)


if __name__ == "__main__":
    main()
