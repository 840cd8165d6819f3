"""Arithmetic on light: 8-bit arrays of the image's size, from 0 (dark) to 255 (the brightest of a filter)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from components.synthetic.camera import SIDE_PX

Light = NDArray[np.uint8]


def curve(*points: tuple[int, int]) -> bytes:
    """A table of 256 values: straight lines between the given (input, output) points, flat beyond them."""
    table = bytearray()
    for value in range(256):
        before = [point for point in points if point[0] <= value]
        after = [point for point in points if point[0] > value]
        if not before or not after:
            table.append((before[-1] if before else after[0])[1])
            continue
        (x0, y0), (x1, y1) = before[-1], after[0]
        table.append(y0 + (y1 - y0) * (value - x0) // (x1 - x0))
    return bytes(table)


def through(table: bytes, values: Light) -> Light:
    """Looks each value up in a table of 256, by `bytes.translate`, which is four times as fast as indexing."""
    return np.frombuffer(values.tobytes().translate(table), np.uint8).reshape(values.shape)


def product(one: Light, other: Light) -> Light:
    """The product of two lights, with 255 as one."""
    scaled = one.astype(np.uint16)
    scaled *= other
    scaled += 255
    scaled >>= 8
    return scaled.astype(np.uint8)


def dimmed(light: Light, percent: int) -> Light:
    """A percentage of a light."""
    return (light.astype(np.uint16) * np.uint16(percent) // np.uint16(100)).astype(np.uint8)


def total(one: Light, other: Light) -> Light:
    """The sum of two lights, at most 255."""
    added = one + other  # wraps around, which makes the sum smaller than its terms
    added[added < one] = 255
    return added


def without(light: Light, shade: Light) -> Light:
    """A light behind a shade, which is opaque at 255."""
    return product(light, ~shade)


def soft(light: Light) -> Light:
    """Blurs by one pixel (1-2-1 in both directions), with repeated borders."""
    padded = np.pad(light, 1, mode="edge").astype(np.uint16)
    rows = padded[:-2] + padded[2:] + (padded[1:-1] << 1)
    columns = rows[:, :-2] + rows[:, 2:] + (rows[:, 1:-1] << 1)
    blurred: Light = ((columns + 8) >> 4).astype(np.uint8)
    return blurred


def thick(light: Light) -> Light:
    """Grows each bright pixel to a square of 2 x 2."""
    grown = light.copy()
    np.maximum(grown[1:], light[:-1], out=grown[1:])
    wide = grown.copy()
    np.maximum(wide[:, 1:], grown[:, :-1], out=wide[:, 1:])
    return wide


def haze(light: Light) -> Light:
    """Out-of-focus light: blurred by some 20 pixels."""
    small = Image.fromarray(light).reduce(8).filter(ImageFilter.BoxBlur(1)).filter(ImageFilter.BoxBlur(1))
    return np.asarray(small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))
