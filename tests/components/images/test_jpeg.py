import contextlib
import logging
import random
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest

from components.images import jpeg
from components.images.image import BadImageError
from components.images.reader import read_image

_PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
_GREY = imagecodecs.jpeg8_encode(np.ascontiguousarray(_PIXELS[..., 0]))
_COLOUR = imagecodecs.jpeg8_encode(_PIXELS)


@pytest.mark.parametrize(("data", "names"), [(_GREY, ("",)), (_COLOUR, ("red", "green", "blue"))])
def test_channels_equal_those_of_the_codec(data: bytes, names: tuple[str, ...]) -> None:
    image = read_image(data)
    assert image.channel_names == names
    expected = np.atleast_3d(imagecodecs.jpeg8_decode(data))
    for channel in range(len(names)):
        np.testing.assert_array_equal(image.plane(channel, 0), expected[..., channel])


def test_a_warning_about_loss_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    jpeg._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            read_image(_GREY)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["JPEG is lossy"]


def test_cmyk_is_refused(make_pixels: Callable[..., np.ndarray]) -> None:
    inks = np.dstack([make_pixels(seed, 16) for seed in range(4)])
    with pytest.raises(BadImageError, match=r"^a CMYK JPEG: expected greyscale or RGB$"):
        read_image(imagecodecs.jpeg8_encode(inks, colorspace="CMYK", outcolorspace="CMYK"))


def test_other_than_8_bits_are_refused() -> None:
    frame = _COLOUR.index(b"\xff\xc0")
    with pytest.raises(BadImageError, match=r"^a JPEG of 12 bits: expected 8$"):
        read_image(_COLOUR[: frame + 4] + b"\x0c" + _COLOUR[frame + 5 :])


def test_size_is_checked_before_decoding() -> None:
    frame = _GREY.index(b"\xff\xc0")
    data = _GREY[: frame + 5] + b"\xff\xff\xff\xff" + _GREY[frame + 9 :]
    with pytest.raises(BadImageError, match=r"^65535 x 65535 pixels: expected sides of 1 to 8192$"):
        read_image(data)


@pytest.mark.parametrize("end", [3, 20, 200, -2])
def test_truncated_file_is_refused(end: int) -> None:
    with pytest.raises(BadImageError, match=r"^a (damaged|truncated) JPEG: its (header is incomplete|end is missing)$"):
        read_image(_GREY[:end])


def test_a_gap_in_the_header_is_refused() -> None:
    tables = _GREY.index(b"\xff\xc4")
    with pytest.raises(BadImageError, match=r"^a damaged JPEG: its header is incomplete$"):
        read_image(_GREY[: tables + 1] + b"\x01" + _GREY[tables + 2 :])


def test_a_segment_beyond_the_end_is_refused() -> None:
    scan = _GREY.index(b"\xff\xda") + 40
    with pytest.raises(BadImageError, match=r"^a truncated JPEG: its end is missing$"):
        read_image(_GREY[:scan] + b"\xff\xdc\xff\xff" + _GREY[scan + 4 :])


def test_a_damaged_file_gives_an_image_or_a_reason() -> None:
    draws = random.Random(0)
    num_decoded = 0
    for _ in range(300):
        data = bytearray(draws.choice([_GREY, _COLOUR]))
        for _ in range(draws.randint(1, 4)):
            data[draws.randrange(3, len(data))] = draws.randrange(256)
        with contextlib.suppress(BadImageError):
            assert read_image(bytes(data)).plane(0, 0).dtype == np.uint8
            num_decoded += 1
    assert 0 < num_decoded < 300
