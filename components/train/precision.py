"""How exactly a network computes while it is trained: what the device is fast at."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

_POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
# NVIDIA's compute capability from which on tensor cores take a type: Volta and Turing (T4) float16, Ampere bfloat16 too.
_FLOAT16_CAPABILITY = (7, 0)
_BFLOAT16_CAPABILITY = (8, 0)
# Processor flags of units that multiply in bfloat16.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}

_log = logging.getLogger(__name__)


def best_precision() -> str:
    """What suits this machine: `float16`, `bfloat16` or `float32`."""
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "bfloat16" if _cpu_flags() & _BFLOAT16_FLAGS else "float32"
    capability = min(tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0)) for device in devices)
    if capability >= _BFLOAT16_CAPABILITY:
        return "bfloat16"
    # With several devices, Keras's loss scaling asks each alone whether its gradients are finite, and they would not agree.
    return "float16" if capability >= _FLOAT16_CAPABILITY and len(devices) == 1 else "float32"


@contextmanager
def computing_in(precision: str) -> Iterator[str]:
    """Lets layers that are made meanwhile compute in a precision; their weights stay float32.

    Args:
        precision: `float16`, `bfloat16`, `float32`, or `auto` for what suits the machine.

    Yields:
        The precision, which is not `auto`.
    """
    chosen = best_precision() if precision == "auto" else precision
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[chosen])
    _log.info("computing in %s", chosen)
    try:
        yield chosen
    finally:
        keras.config.set_dtype_policy(before)


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
