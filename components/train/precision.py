"""The number format in which a network computes during training."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from components.runtime.processor import multiplies_bfloat16

_POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
# The lowest NVIDIA compute capability whose tensor cores support a type: float16 from Volta on, bfloat16 from Ampere on.
_FLOAT16_CAPABILITY = (7, 0)
_BFLOAT16_CAPABILITY = (8, 0)
# On processors with bfloat16 units, InceptionResNetV2 trains faster in float32 at 75 px, and in bfloat16 at 149 and 299 px
# (docs/benchmarks.md, train_step).
_BFLOAT16_MIN_SIZE_PX = 149


def resolve_precision(precision: str, image_size_px: int) -> str:
    """The precision to train in: the given one, or for `auto` the fastest on this machine.

    Args:
        precision: `float16`, `bfloat16`, `float32` or `auto`.
        image_size_px: The side of the images.
    """
    if precision != "auto":
        return precision
    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "bfloat16" if multiplies_bfloat16() and image_size_px >= _BFLOAT16_MIN_SIZE_PX else "float32"
    capability = min(tf.config.experimental.get_device_details(device).get("compute_capability", (0, 0)) for device in devices)
    if capability >= _BFLOAT16_CAPABILITY:
        return "bfloat16"
    # With several devices, Keras's loss scaling checks each one's gradients separately, and they may disagree.
    return "float16" if capability >= _FLOAT16_CAPABILITY and len(devices) == 1 else "float32"


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Makes layers created in this context compute in `float16`, `bfloat16` or `float32`; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
