"""Damaged files are decoded in processes of their own, which must not crash."""

import contextlib
import multiprocessing
import random

import pytest

from components.images.image import BadImageError
from components.images.reader import read_image
from tests.components.images.damage import FILES, pixel_bytes


def _decode_damaged(data: bytes, num_cases: int) -> None:
    chance, places = random.Random(0), pixel_bytes(data).tolist()
    for number in range(num_cases):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 3, 30))):
            # Mostly pixels: damage elsewhere is noticed before they are decoded.
            damaged[chance.choice(places if number % 4 else range(len(data)))] = chance.randrange(256)
        with contextlib.suppress(BadImageError):
            image = read_image(bytes(damaged))
            for channel in range(len(image.channel_names)):
                image.plane(channel, 0)


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_does_not_end_the_process(name: str) -> None:
    """However an image file is damaged, decoding it does not end the process."""
    process = multiprocessing.get_context("spawn").Process(target=_decode_damaged, args=(FILES[name], 5000))
    process.start()
    process.join()
    assert process.exitcode == 0
