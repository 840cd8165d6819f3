import contextlib
import io
import random
import re
import resource
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

from components.images.decode import MAX_SIDE_PX, decode_png, sample_pixels, stack_filters
from components.images.plausibility import BadImageError

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
_RGB = ("red", "green", "blue")


def _pillow_file(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_size(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its header, whose checksum is right."""
    return data[:8] + _chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]


def _coloured(image: np.ndarray, used: tuple[int, ...]) -> bytes:
    """An RGB file that shows an image in some of its channels, as the atlas's website does."""
    return _pillow_file(Image.fromarray(np.dstack([image if channel in used else image * 0 for channel in range(3)])))


def _with_right_checksums(data: bytes) -> bytes:
    """Makes the chunks' checksums fit what damage has made of them, so that a decoder gets to see it."""
    mended, position = bytearray(data), 8
    while position + 12 <= len(mended):
        end = position + 12 + struct.unpack(">I", mended[position : position + 4])[0]
        if end > len(mended):
            break
        mended[end - 4 : end] = struct.pack(">I", zlib.crc32(mended[position + 4 : end - 4]))
        position = end
    return bytes(mended)


def _zeros_without_end(num_mib: int) -> bytes:
    """A zlib stream that inflates to some MiB of zeros, and takes a thousandth of that."""
    compressor = zlib.compressobj(9)
    begin = compressor.compress(b"") + compressor.flush(zlib.Z_FULL_FLUSH)
    mib = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return begin + mib * num_mib


class TestDecode:
    @pytest.mark.parametrize(("height", "width"), [(1, 1), (128, 128), (64, 100), (513, 511), (3072, 3072)])
    def test_gives_the_very_pixels(self, make_pixels: MakePixels, make_png: MakePng, height: int, width: int) -> None:
        pixels = make_pixels(0, height, width)
        for data in (make_png(pixels), _pillow_file(Image.fromarray(pixels))):
            decoded = decode_png(data)
            np.testing.assert_array_equal(decoded, pixels)
            assert decoded.dtype == np.uint8

    def test_gives_what_opencv_gives_on_real_files(self, hpa_dir: Path) -> None:
        for path in sorted((hpa_dir / "train").iterdir())[:12]:
            np.testing.assert_array_equal(decode_png(path.read_bytes()), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

    @pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1, 2)])
    def test_takes_the_one_stain_of_an_rgb_file(self, make_pixels: MakePixels, used: tuple[int, ...]) -> None:
        np.testing.assert_array_equal(decode_png(_coloured(make_pixels(), used)), make_pixels())

    def test_takes_yellow_as_equal_red_and_green(self, make_pixels: MakePixels) -> None:
        data = _coloured(make_pixels(), (0, 1))
        np.testing.assert_array_equal(decode_png(data, "yellow"), make_pixels())
        with pytest.raises(BadImageError, match=r"^an RGB PNG that uses 2 channels, so shows more than one stain: export it"):
            decode_png(data, "green")

    def test_takes_a_black_rgb_file_for_black(self) -> None:
        assert not decode_png(_pillow_file(Image.new("RGB", (20, 30)))).any()

    @pytest.mark.parametrize("used", [(0, 1), (0, 2), (0, 1, 2)])
    def test_refuses_an_rgb_file_with_several_stains(self, make_pixels: MakePixels, used: tuple[int, ...]) -> None:
        colours = np.dstack([make_pixels(channel) * (channel in used) for channel in range(3)])
        for filter_name in ("red", "yellow"):
            with pytest.raises(
                BadImageError, match=f"^an RGB PNG that uses {len(used)} channels, so shows more than one stain"
            ):
                decode_png(_pillow_file(Image.fromarray(colours)), filter_name)

    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            ("I;16", "a 16-bit greyscale PNG"),
            ("P", "an 8-bit palette PNG"),
            ("LA", "an 8-bit greyscale with alpha PNG"),
            ("RGBA", "an 8-bit RGB with alpha PNG"),
            ("1", "a 1-bit greyscale PNG"),
        ],
    )
    def test_refuses_other_kinds_of_png(self, make_pixels: MakePixels, mode: str, kind: str) -> None:
        grey = Image.fromarray(make_pixels())
        image = Image.fromarray(make_pixels().astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
        with pytest.raises(BadImageError, match=f"^{kind}: export it as an 8-bit greyscale PNG "):
            decode_png(_pillow_file(image))

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF", "GIF", "BMP"])
    def test_says_what_to_do_with_other_formats(self, make_pixels: MakePixels, kind: str) -> None:
        with pytest.raises(BadImageError, match=f"^a {kind} file: export it as an 8-bit greyscale PNG "):
            decode_png(_pillow_file(Image.fromarray(make_pixels()), kind))

    @pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a", b"<!DOCTYPE html>", b"II", bytes(100)])
    def test_refuses_what_is_no_image(self, data: bytes) -> None:
        with pytest.raises(BadImageError, match=f"^no PNG file: it begins with {re.escape(repr(data[:8]))}$"):
            decode_png(data)

    def test_refuses_an_empty_file(self) -> None:
        with pytest.raises(BadImageError, match=r"^an empty file$"):
            decode_png(b"")

    @pytest.mark.parametrize("kept", [40, 0.5, 0.9, 0.99, -12, -1])
    def test_refuses_a_truncated_file(self, make_pixels: MakePixels, make_png: MakePng, kept: float) -> None:
        data = make_png(make_pixels())
        with pytest.raises(BadImageError, match=r"^a truncated PNG: its end is missing$"):
            decode_png(data[: int(kept * len(data)) if isinstance(kept, float) else kept])

    def test_refuses_a_file_that_ends_before_its_pixels_begin(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        with pytest.raises(BadImageError, match=r"^a damaged PNG: its header is missing$"):
            decode_png(make_png(make_pixels())[:32])

    def test_refuses_damaged_pixels(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        data = bytearray(make_png(make_pixels()))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(BadImageError, match=r"^a damaged PNG: CRC error$"):
            decode_png(bytes(data))

    @pytest.mark.parametrize(
        ("width", "height"), [(100_000, 100_000), (0, 128), (128, 0), (MAX_SIDE_PX + 1, 1), (2**31, 2**31)]
    )
    def test_refuses_a_header_with_an_impossible_size(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(BadImageError, match=rf"^{width} x {height} pixels: expected sides of 1 to {MAX_SIDE_PX}$"):
            decode_png(_with_size(make_png(make_pixels()), width, height))

    @pytest.mark.parametrize(("width", "height"), [(128, 129), (4096, 4096)])
    def test_refuses_a_header_that_claims_more_than_there_is(
        self, make_pixels: MakePixels, make_png: MakePng, width: int, height: int
    ) -> None:
        with pytest.raises(BadImageError, match=r"^a damaged PNG: \w"):
            decode_png(_with_size(make_png(make_pixels()), width, height))

    @given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8), kept=st.floats(0, 1))
    def test_gives_the_pixels_or_a_reason_whatever_the_damage(
        self, make_pixels: MakePixels, make_png: MakePng, changes: list[tuple[int, int]], kept: float
    ) -> None:
        data = bytearray(make_png(make_pixels(0, 12)))
        for position, value in changes:
            data[position % len(data)] = value
        with contextlib.suppress(BadImageError):
            np.testing.assert_array_equal(decode_png(bytes(data[: round(kept * len(data))])), make_pixels(0, 12))

    def test_gives_an_image_of_the_headers_size_or_a_reason_for_damage_that_checksums_do_not_show(self, hpa_dir: Path) -> None:
        originals = [path.read_bytes() for path in sorted((hpa_dir / "train").iterdir())[:4]]
        draws = random.Random(0)
        num_decoded = 0
        for _ in range(400):
            data = bytearray(draws.choice(originals))
            for _ in range(draws.randint(1, 4)):
                data[draws.randrange(16, draws.choice([60, len(data)]))] ^= 1 << draws.randrange(8)
            damaged = _with_right_checksums(bytes(data))
            with contextlib.suppress(BadImageError):
                decoded = decode_png(damaged)
                width, height = struct.unpack(">II", damaged[16:24])
                assert (decoded.shape, decoded.dtype) == ((height, width), np.uint8)
                num_decoded += 1
        assert 0 < num_decoded < 400

    @pytest.mark.parametrize("kind", [b"IDAT", b"iCCP", b"zTXt"])
    def test_does_not_inflate_what_no_pixel_needs(self, make_png: MakePng, kind: bytes) -> None:
        data = make_png(np.full((64, 64), 0, np.uint8))
        bomb = _chunk(kind, (b"" if kind == b"IDAT" else b"a\0\0") + _zeros_without_end(2048))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decoded = decode_png(data[:33] + bomb + (data[-12:] if kind == b"IDAT" else data[33:]))
        assert decoded.shape == (64, 64)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10  # kibibytes


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

    @pytest.mark.parametrize(("height", "width"), [(128, 100), (100, 150), (101, 128)])
    def test_takes_the_middle_square_of_what_is_not_quite_square(
        self, make_pixels: MakePixels, height: int, width: int
    ) -> None:
        image, side = make_pixels(0, height, width), min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        middle = image[top : top + side, left : left + side]
        np.testing.assert_array_equal(stack_filters([image, image], 75), stack_filters([middle, middle], 75))

    @pytest.mark.parametrize(
        ("sizes", "reason"),
        [
            ([(128, 128), (96, 128)], "filters of different sizes: 128 x 96, 128 x 128 pixels"),
            (
                [(80, 128), (80, 128)],
                "128 x 80 pixels: too far from square, .*, each with a row of its own",
            ),
            ([(74, 74), (74, 74)], "74 x 74 pixels: smaller than image_size_px=75. Give image_size_px=74 or less"),
        ],
    )
    def test_refuses_sizes_that_do_not_fit(self, make_pixels: MakePixels, sizes: list[tuple[int, int]], reason: str) -> None:
        with pytest.raises(BadImageError, match=f"^{reason}$"):
            stack_filters([make_pixels(0, height, width) for height, width in sizes], 75)


class TestSamplePixels:
    @pytest.fixture
    def pngs(self, make_pixels: MakePixels, make_png: MakePng) -> dict[str, bytes]:
        return {name: make_png(make_pixels(seed)) for seed, name in enumerate(("blue", "green", "red", "yellow"))}

    def test_makes_the_filters_channels_in_the_order_asked_for(self, make_pixels: MakePixels, pngs: dict[str, bytes]) -> None:
        pixels = sample_pixels(pngs, ("red", "green", "blue", "yellow"), 75)
        np.testing.assert_array_equal(pixels, stack_filters([make_pixels(seed) for seed in (2, 1, 0, 3)], 75))

    @pytest.mark.parametrize("side_px", [75, 512, 2048, 3072])
    def test_takes_any_side_from_the_target_up(self, make_pixels: MakePixels, make_png: MakePng, side_px: int) -> None:
        images = [make_pixels(seed, side_px) for seed in range(3)]
        pixels = sample_pixels(dict(zip(_RGB, map(make_png, images), strict=True)), _RGB, 75)
        np.testing.assert_array_equal(pixels, stack_filters(images, 75))

    def test_does_not_look_at_filters_that_are_not_asked_for(self, pngs: dict[str, bytes]) -> None:
        assert sample_pixels(pngs | {"yellow": b"no image"}, _RGB, 75).shape == (75, 75, 3)

    def test_takes_every_real_sample(self, hpa_dir: Path) -> None:
        filters = (*_RGB, "yellow")
        ids = {path.name.rpartition("_")[0] for path in (hpa_dir / "train").iterdir()}
        for sample_id in ids:
            pngs = {name: (hpa_dir / "train" / f"{sample_id}_{name}.png").read_bytes() for name in filters}
            assert sample_pixels(pngs, filters, 299).shape == (299, 299, 4)
        assert len(ids) == 64

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (None, "the green filter is missing"),
            (b"", "the green filter is an empty file"),
            (np.zeros((128, 128), np.uint8), "the green filter is all black: "),
            (np.full((128, 128), 255, np.uint8), "the green filter is saturated: "),
            (np.full((127, 127), 9, np.uint8), "filters of different sizes: 127 x 127, 128 x 128 pixels"),
        ],
    )
    def test_says_which_filter_is_bad_and_why(
        self, make_png: MakePng, pngs: dict[str, bytes], image: np.ndarray | bytes | None, reason: str
    ) -> None:
        del pngs["green"]
        if image is not None:
            pngs["green"] = image if isinstance(image, bytes) else make_png(image)
        with pytest.raises(BadImageError, match=f"^{reason}"):
            sample_pixels(pngs, _RGB, 75)

    def test_refuses_one_image_under_two_filters_however_it_is_encoded(self, pngs: dict[str, bytes]) -> None:
        with pytest.raises(BadImageError, match=r"^the red and blue filters show the same image$"):
            sample_pixels(pngs | {"blue": pngs["red"]}, _RGB, 75)
        coloured = _coloured(decode_png(pngs["green"]), (1,))
        with pytest.raises(BadImageError, match=r"^the red and green filters show the same image$"):
            sample_pixels(pngs | {"red": coloured}, _RGB, 75)
