"""The devices that a training runs on: one, the GPUs of this machine, or those of several machines."""

import json
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Devices:
    """The devices that a training runs on.

    Attributes:
        strategy: Distributes the steps.
        worker: The number of this process. Only the chief, 0, writes checkpoints and the result.
        num_workers: The number of processes.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    num_workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the checkpoints and the result."""
        return self.worker == 0

    def rows(self, images_per_step: int) -> slice:
        """The images of each step that this process handles.

        Raises:
            ValueError: If the images cannot be divided equally among the devices.
        """
        num_replicas = self.strategy.num_replicas_in_sync
        if images_per_step % num_replicas:
            raise ValueError(
                f"batch_size: expected a multiple of the {num_replicas} devices. Received: {images_per_step} images a step"
            )
        own = images_per_step // self.num_workers
        return slice(self.worker * own, (self.worker + 1) * own)

    def distribute(self, batch: tuple[np.ndarray, ...]) -> Any:
        """Gives each device of this process its part of a batch."""
        if self.strategy.num_replicas_in_sync == 1:
            return tuple(tf.convert_to_tensor(values) for values in batch)
        num_parts = self.strategy.num_replicas_in_sync // self.num_workers
        size = len(batch[0]) // num_parts

        def part_of(context: tf.distribute.experimental.ValueContext) -> tuple[tf.Tensor, ...]:
            start = context.replica_id_in_sync_group % num_parts * size
            return tuple(tf.convert_to_tensor(values[start : start + size]) for values in batch)

        return self.strategy.experimental_distribute_values_from_function(part_of)


def open_devices() -> Devices:
    """Uses all available devices. If there are several machines, TF_CONFIG names them, as TensorFlow documents it.

    Must be called before any other use of TensorFlow.

    Raises:
        RuntimeError: If there is an NVIDIA device and TensorFlow sees none.
    """
    task = json.loads(os.environ.get("TF_CONFIG", "{}"))
    num_workers = sum(len(addresses) for kind, addresses in task.get("cluster", {}).items() if kind in ("chief", "worker"))
    if num_workers > 1:
        # First, because this starts the server that the other workers wait for.
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        resolver = strategy.cluster_resolver
        has_chief = "chief" in task["cluster"]
        worker = 0 if resolver.task_type == "chief" else int(resolver.task_id) + has_chief
        _prepare()
        # TensorFlow's server replaces the handler of SIGTERM: this restores Python's.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        _log.info("worker %d of %d", worker + 1, num_workers)
        return Devices(strategy, worker, num_workers)
    visible = _prepare()
    return Devices(tf.distribute.MirroredStrategy() if len(visible) > 1 else tf.distribute.get_strategy())


def _prepare() -> list[tf.config.PhysicalDevice]:
    """Sets TensorFlow up for the available GPUs. Fails if the machine has a GPU that TensorFlow cannot use."""
    present = sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    visible: list[tf.config.PhysicalDevice] = tf.config.list_physical_devices("GPU")
    if present and not visible and not hidden:
        raise RuntimeError(
            f"This machine has a GPU ({', '.join(present)}) that TensorFlow {tf.__version__} cannot use. Install "
            "tensorflow[and-cuda] and a driver for it, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on purpose."
        )
    if not visible:
        # On a CPU, having Grappler rewrite the training graph takes longer than it saves in a short run, and makes no
        # measurable difference to the speed.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        # Makes a resumed run identical, bit for bit, to an uninterrupted one. On a GPU it costs speed, and some operations
        # have no deterministic form, so resumed runs there differ by rounding.
        tf.config.experimental.enable_op_determinism()
    _log.info("training on %s", ", ".join(device.name for device in visible) or "the CPU")
    return visible
