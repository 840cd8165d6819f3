import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.convert.decode import MAX_SIDE_PX, BadImageError, decode_png, stack_filters

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]


def _pillow_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _with_size(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its header, whose checksum is right."""
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


class TestDecode:
    @pytest.mark.parametrize(("height", "width"), [(1, 1), (128, 128), (64, 100), (513, 511)])
    def test_gives_the_very_pixels(self, make_pixels: MakePixels, make_png: MakePng, height: int, width: int) -> None:
        pixels = make_pixels(0, height, width)
        for data in (make_png(pixels), _pillow_png(Image.fromarray(pixels))):
            decoded = decode_png(data)
            np.testing.assert_array_equal(decoded, pixels)
            assert decoded.dtype == np.uint8

    def test_gives_what_opencv_gives_on_real_files(self, hpa_dir: Path) -> None:
        for path in sorted((hpa_dir / "train").iterdir())[:12]:
            np.testing.assert_array_equal(decode_png(path.read_bytes()), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            ("I;16", "a 16-bit greyscale PNG"),
            ("RGB", "a 8-bit RGB PNG"),
            ("P", "a 8-bit palette PNG"),
            ("LA", "a 8-bit greyscale with alpha PNG"),
            ("RGBA", "a 8-bit RGB with alpha PNG"),
            ("1", "a 1-bit greyscale PNG"),
        ],
    )
    def test_refuses_other_kinds_of_png(self, make_pixels: MakePixels, mode: str, kind: str) -> None:
        grey = Image.fromarray(make_pixels())
        image = Image.fromarray(make_pixels().astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
        with pytest.raises(BadImageError, match=f"^{kind}: expected 8-bit greyscale$"):
            decode_png(_pillow_png(image))

    @pytest.mark.parametrize("kept", [0.5, 0.9, 0.99])
    def test_refuses_a_truncated_file(self, make_pixels: MakePixels, make_png: MakePng, kept: float) -> None:
        data = make_png(make_pixels())
        with pytest.raises(BadImageError, match=r"^a damaged PNG: \w"):
            decode_png(data[: int(kept * len(data))])

    def test_refuses_damaged_pixels(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        data = bytearray(make_png(make_pixels()))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(BadImageError, match=r"^a damaged PNG: \w"):
            decode_png(bytes(data))

    @pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(50)])
    def test_refuses_what_is_no_png(self, data: bytes) -> None:
        with pytest.raises(BadImageError, match=f"^no PNG file: begins with {re.escape(repr(data[:8]))}$"):
            decode_png(data)

    @pytest.mark.parametrize(
        ("width", "height"), [(100_000, 100_000), (0, 128), (128, 0), (MAX_SIDE_PX + 1, 1), (2**31, 2**31)]
    )
    def test_refuses_a_header_with_an_impossible_size(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(
            BadImageError, match=rf"^{width} x {height} pixels: expected at most {MAX_SIDE_PX} x {MAX_SIDE_PX}$"
        ):
            decode_png(_with_size(make_png(make_pixels()), width, height))

    @pytest.mark.parametrize(("width", "height"), [(128, 129), (4096, 4096)])
    def test_refuses_a_header_that_claims_more_than_there_is(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(BadImageError, match=r"^a damaged PNG: \w"):
            decode_png(_with_size(make_png(make_pixels()), width, height))

    @given(position=st.integers(0, 2**20), value=st.integers(0, 255), length=st.integers(0, 2**20))
    def test_gives_pixels_or_a_reason_whatever_the_damage(
        self, make_pixels: MakePixels, make_png: MakePng, position: int, value: int, length: int
    ) -> None:
        data = bytearray(make_png(make_pixels(0, 12)))
        data[position % len(data)] = value
        with contextlib.suppress(BadImageError):
            decoded = decode_png(bytes(data[: 40 + length % len(data)]))
            np.testing.assert_array_equal(decoded, make_pixels(0, 12))


class TestStack:
    def test_averages_areas_as_opencv_does(self, make_pixels: MakePixels) -> None:
        images = [make_pixels(seed, 128) for seed in range(4)]
        stacked = stack_filters(images, 75)
        assert (stacked.shape, stacked.dtype) == ((75, 75, 4), np.uint8)
        for channel, image in enumerate(images):
            np.testing.assert_array_equal(stacked[..., channel], cv2.resize(image, (75, 75), interpolation=cv2.INTER_AREA))

    def test_leaves_pixels_as_they_are_where_the_size_is_right(self, make_pixels: MakePixels) -> None:
        np.testing.assert_array_equal(stack_filters([make_pixels(0, 75)], 75)[..., 0], make_pixels(0, 75))

    def test_averages_whole_blocks_where_the_size_is_a_multiple(self) -> None:
        image = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((3, 3), np.uint8))
        np.testing.assert_array_equal(stack_filters([image], 4)[..., 0], np.arange(16).reshape(4, 4))

    @pytest.mark.parametrize(
        ("sizes", "reason"),
        [
            ([(128, 128), (96, 128)], "filters of different sizes: 128 x 96, 128 x 128 pixels"),
            ([(96, 128), (96, 128)], "128 x 96 pixels: expected a square image"),
            ([(74, 74), (74, 74)], "74 x 74 pixels: smaller than image_size_px=75"),
        ],
    )
    def test_refuses_sizes_that_do_not_fit(self, make_pixels: MakePixels, sizes: list[tuple[int, int]], reason: str) -> None:
        with pytest.raises(BadImageError, match=f"^{reason}$"):
            stack_filters([make_pixels(0, height, width) for height, width in sizes], 75)
