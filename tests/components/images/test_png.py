import contextlib
import random
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.images.image import MAX_SIDE_PX, BadImageError
from components.images.reader import read_image
from tests.components.images.damage import pillow_file, png_chunk, with_right_checksums

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]


def _with_size(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its header and a valid checksum."""
    return data[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]


def _zeros_without_end(num_mib: int) -> bytes:
    """A zlib stream of a few KiB that inflates to some MiB of zeros."""
    compressor = zlib.compressobj(9)
    begin = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    mib = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return begin + mib * num_mib


def _pixels(data: bytes) -> np.ndarray:
    """The first channel of a file."""
    return read_image(data).plane(0, 0)


class TestPng:
    @pytest.mark.parametrize(("height", "width"), [(1, 1), (128, 128), (64, 100), (513, 511), (3072, 3072)])
    def test_returns_the_exact_pixels(self, make_pixels: MakePixels, make_png: MakePng, height: int, width: int) -> None:
        pixels = make_pixels(0, height, width)
        for data in (make_png(pixels), pillow_file(Image.fromarray(pixels))):
            decoded = _pixels(data)
            np.testing.assert_array_equal(decoded, pixels)
            assert decoded.dtype == np.uint8

    def test_returns_the_same_as_opencv_on_real_files(self, hpa_dir: Path) -> None:
        for path in sorted((hpa_dir / "train").iterdir())[:12]:
            np.testing.assert_array_equal(_pixels(path.read_bytes()), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize(
        ("num_samples", "names"),
        [
            (1, ("",)),
            (2, ("grey", "alpha")),
            (3, ("red", "green", "blue")),
            (4, ("red", "green", "blue", "alpha")),
        ],
    )
    def test_reads_each_channel_at_its_bit_depth(
        self, make_pixels: MakePixels, dtype: type[np.generic], num_samples: int, names: tuple[str, ...]
    ) -> None:
        samples = [make_pixels(seed, 20, 30).astype(dtype) * dtype(np.iinfo(dtype).max // 255) for seed in range(num_samples)]
        image = read_image(imagecodecs.png_encode(np.squeeze(np.dstack(samples))))
        assert (image.channel_names, image.num_planes, image.is_colour) == (names, 1, num_samples > 1)
        for channel, expected in enumerate(samples):
            np.testing.assert_array_equal(image.plane(channel, 0), expected, strict=True)

    @pytest.mark.parametrize(("mode", "names"), [("P", ("red", "green", "blue")), ("1", ("",))])
    def test_applies_palettes_and_reads_one_bit_as_black_and_white(
        self, make_pixels: MakePixels, mode: str, names: tuple[str, ...]
    ) -> None:
        picture = Image.fromarray(make_pixels()).convert(mode)
        image = read_image(pillow_file(picture))
        assert image.channel_names == names
        np.testing.assert_array_equal(image.plane(0, 0), np.asarray(picture.convert("L")), strict=True)

    @pytest.mark.parametrize("kept", [40, 0.5, 0.9, 0.99, -12, -1])
    def test_refuses_a_truncated_file(self, make_pixels: MakePixels, make_png: MakePng, kept: float) -> None:
        data = make_png(make_pixels())
        with pytest.raises(BadImageError, match=r"^a truncated PNG: its end is missing$"):
            _pixels(data[: int(kept * len(data)) if isinstance(kept, float) else kept])

    def test_refuses_a_file_that_ends_before_its_pixels_begin(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        with pytest.raises(BadImageError, match=r"^a damaged PNG: its header is missing$"):
            _pixels(make_png(make_pixels())[:32])

    def test_refuses_damaged_pixels(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        data = bytearray(make_png(make_pixels()))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(BadImageError, match=r"^a damaged PNG: CRC error$"):
            _pixels(bytes(data))

    @pytest.mark.parametrize(
        ("width", "height"), [(100_000, 100_000), (0, 128), (128, 0), (MAX_SIDE_PX + 1, 1), (2**31, 2**31)]
    )
    def test_refuses_a_header_with_an_impossible_size(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(BadImageError, match=rf"^{width} x {height} pixels: expected sides of 1 to {MAX_SIDE_PX}$"):
            _pixels(_with_size(make_png(make_pixels()), width, height))

    @pytest.mark.parametrize(("width", "height"), [(128, 129), (4096, 4096)])
    def test_refuses_a_header_that_claims_more_pixels_than_the_file_has(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(BadImageError, match=r"^a damaged PNG: \w"):
            _pixels(_with_size(make_png(make_pixels()), width, height))

    @given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8), kept=st.floats(0, 1))
    def test_returns_the_pixels_or_a_reason_for_any_damage(
        self, make_pixels: MakePixels, make_png: MakePng, changes: list[tuple[int, int]], kept: float
    ) -> None:
        data = bytearray(make_png(make_pixels(0, 12)))
        for position, value in changes:
            data[position % len(data)] = value
        with contextlib.suppress(BadImageError):
            np.testing.assert_array_equal(_pixels(bytes(data[: round(kept * len(data))])), make_pixels(0, 12))

    def test_returns_an_image_of_the_right_size_or_a_reason_if_checksums_hide_the_damage(self, hpa_dir: Path) -> None:
        originals = [path.read_bytes() for path in sorted((hpa_dir / "train").iterdir())[:4]]
        draws = random.Random(0)
        num_decoded = 0
        for _ in range(400):
            data = bytearray(draws.choice(originals))
            for _ in range(draws.randint(1, 4)):
                data[draws.randrange(16, draws.choice([60, len(data)]))] ^= 1 << draws.randrange(8)
            damaged = with_right_checksums(bytes(data))
            with contextlib.suppress(BadImageError):
                decoded = _pixels(damaged)
                width, height = struct.unpack(">II", damaged[16:24])
                assert (decoded.shape, decoded.dtype) == ((height, width), np.uint8)
                num_decoded += 1
        assert 0 < num_decoded < 400

    @pytest.mark.parametrize("kind", [b"IDAT", b"iCCP", b"zTXt"])
    def test_does_not_inflate_more_than_the_pixels(self, make_png: MakePng, kind: bytes) -> None:
        data = make_png(np.full((64, 64), 0, np.uint8))
        bomb = png_chunk(kind, (b"" if kind == b"IDAT" else b"a\0\0") + _zeros_without_end(2048))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(BadImageError):  # more pixels than there should be are an error; other chunks do not matter
            assert _pixels(data[:33] + bomb + (data[-12:] if kind == b"IDAT" else data[33:])).shape == (64, 64)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10  # kibibytes
