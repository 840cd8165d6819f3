"""The part of the augmentation that runs inside the training step: arbitrary rotation, and exposure."""

import math
from typing import Any

from keras import ops


def augment(pixels: Any, draws: Any, rotation_turns: float, brightness: float) -> Any:
    """Rotates images about their centres and changes their exposure.

    The exposure multiplies grey levels: the black background stays black, and levels beyond the scale saturate.

    Args:
        pixels: Grey levels in [0, 255], any dtype, of shape (batch, height, width, channels).
        draws: Random draws in [-1, 1], of shape (batch, 2): for the rotation and for the brightness.
        rotation_turns: At most this many turns either way; the corners are filled by reflection.
        brightness: An image is multiplied by exp(brightness * draw), the same for all its channels.

    Returns:
        float32 grey levels in [0, 255].
    """
    images = ops.cast(pixels, "float32")
    if rotation_turns:
        height, width = images.shape[1:3]
        transforms = _rotations(2 * math.pi * rotation_turns * draws[:, 0], height, width)
        images = ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="reflect")
    return ops.clip(images * ops.exp(brightness * draws[:, 1, None, None, None]), 0.0, 255.0)


def _rotations(angles: Any, height: int, width: int) -> Any:
    """The affine transforms that rotate about the centre, for `keras.ops.image`: eight numbers per image."""
    cosine, sine, zero = ops.cos(angles), ops.sin(angles), ops.zeros_like(angles)
    x, y = (width - 1) / 2, (height - 1) / 2
    return ops.stack([cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine, zero, zero], axis=1)
