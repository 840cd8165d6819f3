"""Every accepted file has the pixels that Pillow reads. The served model is compared in tests/components/train.

JPEG, LZW and plain TIFF have no checksums: there, damage may change pixels, for both decoders alike. The headers of TIFF files
are left alone, because decoders resolve contradictions in them differently.
"""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from components.images.reader import read_image
from tests.components.images.damage import FILES, check_accepted


def _read(data: bytes) -> list[np.ndarray]:
    image = read_image(data)
    return [image.plane(channel, number) for channel in range(len(image.channel_names)) for number in range(image.num_planes)]


def _read_with_pillow(data: bytes) -> list[np.ndarray]:
    planes: list[np.ndarray] = []
    with warnings.catch_warnings(action="ignore"):
        image = Image.open(io.BytesIO(data))
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            pixels = np.asarray({"P": image.convert("RGB"), "1": image.convert("L")}.get(image.mode, image))
            planes += [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, -1, 0))
    return planes


def _check(data: bytes, planes: list[np.ndarray]) -> None:
    expected = _read_with_pillow(data)
    if len(planes) == 2 and len(expected) == 4:  # grey and alpha of 16 bits
        expected = [expected[0], expected[3]]
    if planes[0].dtype == np.uint16 and expected[0].dtype == np.uint8:  # which is all that Pillow keeps of some
        planes = [(plane >> 8).astype(np.uint8) for plane in planes]
    np.testing.assert_array_equal(planes, expected)


@pytest.mark.parametrize("name", FILES)
def test_an_accepted_file_has_the_pixels_that_pillow_reads(name: str) -> None:
    check_accepted(FILES[name], 15, _read, _check)


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_an_accepted_file_has_the_pixels_that_pillow_reads_whatever_the_damage(name: str) -> None:
    """An image file that is accepted, however damaged, has the pixels that a second decoder, Pillow, reads."""
    check_accepted(FILES[name], 5000, _read, _check)
