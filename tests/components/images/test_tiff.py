import contextlib
import io
import random
import re
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
import tifffile

from components.images import tiff
from components.images.image import BadImageError
from components.images.reader import read_image
from tests.components.images.tiffs import make_tiff

# Twelve bits in sixteen: channels x planes x height x width.
_LEVELS = np.random.default_rng(0).integers(0, 4096, (4, 5, 70, 80), dtype=np.uint16)
_PLANE = _LEVELS[0, 0]
_BYTES = (_PLANE >> 4).astype(np.uint8)
_NAMES = ("tubulin", "antibody", "DAPI", "ER")


def _ome(levels: np.ndarray, axes: str, **metadata: object) -> bytes:
    return make_tiff(levels, ome=True, metadata={"axes": axes} | metadata)


def _with_strip(data: bytes, strip: bytes) -> bytes:
    """The same file with other content in its only strip, at the end."""
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    position = page.tags["StripByteCounts"].offset + 8
    return data[:position] + struct.pack("<I", len(strip)) + data[position + 4 : page.dataoffsets[0]] + strip


class TestPixels:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"byteorder": ">"},
            {"bigtiff": True},
            {"rowsperstrip": 8},
            {"compression": "lzw", "predictor": True},
            {"compression": "deflate", "tile": (32, 32)},
            {"compression": "zstd"},
        ],
    )
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
    def test_pixels_are_read_as_written(self, options: dict[str, object], dtype: type[np.generic]) -> None:
        image = read_image(make_tiff(_PLANE.astype(dtype), **options))
        assert (image.channel_names, image.num_planes) == (("",), 1)
        np.testing.assert_array_equal(image.plane(0, 0), _PLANE.astype(dtype), strict=True)

    def test_jpeg_compressed_pixels_are_decoded(self) -> None:
        plane = read_image(make_tiff(_BYTES, compression="jpeg", compressionargs={"level": 95})).plane(0, 0)
        assert np.abs(plane.astype(int) - _BYTES).mean() < 8

    def test_one_bit_pixels_become_black_and_white(self) -> None:
        np.testing.assert_array_equal(read_image(make_tiff(_PLANE > 2000)).plane(0, 0), (_PLANE > 2000) * np.uint8(255))

    def test_pixels_are_inverted_if_white_is_zero(self) -> None:
        np.testing.assert_array_equal(read_image(make_tiff(_BYTES, photometric="miniswhite")).plane(0, 0), 255 - _BYTES)

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_colours_become_channels(self, planar: str) -> None:
        colours = _LEVELS[:3, 0]
        pixels = colours if planar == "separate" else np.moveaxis(colours, 0, -1)
        image = read_image(make_tiff(pixels, photometric="rgb", planarconfig=planar))
        assert (image.channel_names, image.is_colour) == (("red", "green", "blue"), True)
        for channel, expected in enumerate(colours):
            np.testing.assert_array_equal(image.plane(channel, 0), expected)

    def test_palettes_are_applied(self) -> None:
        colours = np.random.default_rng(1).integers(0, 256, (3, 256), dtype=np.uint16)
        image = read_image(make_tiff(_BYTES, photometric="palette", colormap=colours * 257))
        for channel in range(3):
            np.testing.assert_array_equal(image.plane(channel, 0), colours[channel].astype(np.uint8)[_BYTES], strict=True)


class TestStack:
    @pytest.mark.parametrize(
        ("axes", "kind"),
        [("CZYX", "ome"), ("ZCYX", "ome"), ("CTYX", "ome"), ("TCYX", "ome"), ("ZCYX", "imagej"), ("TCYX", "imagej")],
    )
    def test_planes_are_numbered_for_any_order_of_axes(self, axes: str, kind: str) -> None:
        levels = _LEVELS if axes[0] == "C" else _LEVELS.swapaxes(0, 1)
        image = read_image(make_tiff(levels, **{kind: True}, metadata={"axes": axes}))
        assert (len(image.channel_names), image.num_planes) == (4, 5)
        for channel in range(4):
            for number in range(5):
                np.testing.assert_array_equal(image.plane(channel, number), _LEVELS[channel, number])

    def test_an_imagej_stack_described_by_its_first_page_is_read(self) -> None:
        data = make_tiff(_LEVELS[:, 0], imagej=True, metadata={"axes": "CYX"}, contiguous=True)
        first = tifffile.TiffFile(io.BytesIO(data)).pages[0]
        next_page = first.offset + 2 + 12 * len(first.tags)
        image = read_image(data[:next_page] + bytes(4) + data[next_page + 4 :])
        for channel in range(4):
            np.testing.assert_array_equal(image.plane(channel, 0), _LEVELS[channel, 0])

    @pytest.mark.parametrize("metadata", [None, {}])
    def test_unnamed_pages_are_channels_or_planes(self, metadata: dict[str, object] | None) -> None:
        image = read_image(make_tiff(_LEVELS[:, 0], metadata=metadata))
        assert (image.channel_names, image.num_planes, image.has_unnamed_pages) == (("",) * 4, 1, True)
        stack = image.as_stack()
        assert (stack.channel_names, stack.num_planes) == (("",), 4)
        for number in range(4):
            np.testing.assert_array_equal(image.plane(number, 0), _LEVELS[number, 0])
            np.testing.assert_array_equal(stack.plane(0, number), _LEVELS[number, 0])

    def test_a_pyramid_is_read_at_its_full_size(self) -> None:
        file = io.BytesIO()
        with tifffile.TiffWriter(file, ome=True) as writer:
            writer.write(_PLANE, subifds=1, metadata={"axes": "YX"})
            writer.write(_PLANE[::2, ::2], subfiletype=1)
        np.testing.assert_array_equal(read_image(file.getvalue()).plane(0, 0), _PLANE)

    def test_several_positions_are_refused(self) -> None:
        file = io.BytesIO()
        with tifffile.TiffWriter(file, ome=True) as writer:
            for position in range(3):
                writer.write(_LEVELS[:, position], metadata={"axes": "CYX"}, photometric="minisblack")
        with pytest.raises(BadImageError, match=r"^a TIFF of 3 images: expected one\. Save each position"):
            read_image(file.getvalue())


class TestMetadata:
    def test_ome_xml_gives_channel_names_and_the_pixel_size(self) -> None:
        size = {"PhysicalSizeX": 80.0, "PhysicalSizeXUnit": "nm"}
        image = read_image(_ome(_LEVELS[:, 0], "CYX", Channel={"Name": list(_NAMES)}, **size))
        assert image.channel_names == _NAMES
        assert image.pixel_size_um == pytest.approx(0.08)

    def test_imagej_slice_labels_are_channel_names(self) -> None:
        data = make_tiff(_LEVELS[:, 0], imagej=True, metadata={"axes": "CYX", "Labels": list(_NAMES)})
        assert read_image(data).channel_names == _NAMES

    @pytest.mark.parametrize("file_name", ["before_it_was_renamed.ome.tif", "/etc/passwd"])
    def test_other_files_named_in_ome_xml_are_not_opened(self, file_name: str) -> None:
        xml = tifffile.TiffFile(io.BytesIO(_ome(_LEVELS[:, 0], "CYX"))).ome_metadata
        assert xml
        own = re.search('UUID="([^"]+)"', xml)
        assert own
        of_plane = [own[1]] * 3 + [own[1] if "renamed" in file_name else "urn:uuid:0"]
        places = "".join(
            f'<TiffData FirstC="{c}" IFD="{c}" PlaneCount="1"><UUID FileName="{file_name}">{uuid}</UUID></TiffData>'
            for c, uuid in enumerate(of_plane)
        )
        xml = re.sub("<TiffData[^>]*/>", places, xml)
        image = read_image(make_tiff(_LEVELS[:, 0], description=xml.encode(), metadata=None))
        np.testing.assert_array_equal(image.plane(2, 0), _LEVELS[2, 0])
        if "renamed" in file_name:
            np.testing.assert_array_equal(image.plane(3, 0), _LEVELS[3, 0])
        else:
            with pytest.raises(BadImageError, match=r"^an OME-TIFF whose planes are in other files"):
                image.plane(3, 0)


class TestDamage:
    @pytest.mark.parametrize(
        "options", [{}, {"compression": "lzw", "rowsperstrip": 8}, {"compression": "deflate", "tile": (32, 32)}]
    )
    def test_a_truncated_file_is_refused(self, options: dict[str, object]) -> None:
        data = make_tiff(_PLANE, **options)
        for end in range(4, len(data), 101):
            with pytest.raises(BadImageError):
                read_image(data[:end]).plane(0, 0)

    def test_a_missing_strip_is_noticed(self) -> None:
        data = bytearray(make_tiff(_BYTES))
        position = tifffile.TiffFile(io.BytesIO(data)).pages[0].tags["StripByteCounts"].offset + 8
        data[position : position + 4] = bytes(4)
        with pytest.raises(BadImageError, match=r"^a damaged TIFF: a part of its pixels is missing$"):
            read_image(bytes(data)).plane(0, 0)

    @pytest.mark.parametrize(
        "data",
        [
            make_tiff(_PLANE),
            make_tiff(_PLANE, compression="lzw", tile=(32, 32)),
            make_tiff(_PLANE, compression="zstd"),
            make_tiff(_BYTES, compression="jpeg"),
            _ome(_LEVELS, "CZYX"),
            make_tiff(_LEVELS[:, 0], imagej=True),
        ],
        ids=["none", "lzw", "zstd", "jpeg", "ome", "imagej"],
    )
    def test_a_damaged_file_gives_an_image_or_a_reason(self, data: bytes) -> None:
        draws = random.Random(0)
        num_decoded = 0
        for _ in range(200):
            damaged = bytearray(data)
            for _ in range(draws.randint(1, 4)):
                damaged[draws.randrange(4, draws.choice([60, 300, len(data)]))] = draws.randrange(256)
            with contextlib.suppress(BadImageError):
                assert read_image(bytes(damaged)).plane(0, 0).ndim == 2
                num_decoded += 1
        assert 0 < num_decoded < 200

    @pytest.mark.parametrize("compression", ["deflate", "zstd"])
    def test_a_decompression_bomb_is_refused(self, compression: str) -> None:
        zeros = bytes(1 << 26)
        bomb = zlib.compress(zeros) if compression == "deflate" else imagecodecs.zstd_encode(zeros)
        data = _with_strip(make_tiff(np.zeros((64, 64), np.uint8), compression=compression, metadata=None), bomb)
        with pytest.raises(BadImageError, match=r"^a damaged TIFF: \w+Error$"):
            read_image(data).plane(0, 0)

    def test_missing_later_pages_are_noticed(self) -> None:
        data = _ome(_LEVELS[:, 0], "CYX", Channel={"Name": list(_NAMES)})
        for end in range(100, len(data), 997):
            with pytest.raises(BadImageError):
                read_image(data[:end]).plane(0, 0)

    @pytest.mark.parametrize(("code", "is_refused"), [(270, True), (40000, False)])
    def test_a_damaged_tag_is_refused_unless_it_is_private(self, code: int, is_refused: bool) -> None:
        data = bytearray(
            make_tiff(_BYTES, description="cells in a dish", extratags=[(40000, 2, 30, "a microscope's own", True)])
        )
        position = tifffile.TiffFile(io.BytesIO(data)).pages[0].tags[code].offset + 8
        data[position : position + 4] = struct.pack("<I", 1 << 30)
        with pytest.raises(BadImageError, match="header cannot be read") if is_refused else contextlib.nullcontext():
            np.testing.assert_array_equal(read_image(bytes(data)).plane(0, 0), _BYTES)


def test_a_size_beyond_the_limit_is_refused_before_pixels_are_decoded() -> None:
    with pytest.raises(BadImageError, match=r"^1 x 20001 pixels: expected sides of 1 to 20000$"):
        read_image(make_tiff(np.zeros((tiff.MAX_TIFF_SIDE_PX + 1, 1), np.uint8)))


def test_tiles_beyond_the_limit_are_refused_before_pixels_are_decoded() -> None:
    file = io.BytesIO(make_tiff(_PLANE, tile=(16, 16), compression="deflate"))
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags["TileLength"].overwrite(1 << 30)
    with pytest.raises(BadImageError, match=r"^1073741824 x 16 values at once: expected at most 1525 MB$"):
        read_image(file.getvalue()).plane(0, 0)


@pytest.mark.parametrize(("position", "value"), [(4, 12), (5, 15), (7, 15), (11, 0x13)])
def test_a_strip_whose_jpeg_header_does_not_match_the_tags_is_refused(position: int, value: int) -> None:
    """The bits, a byte of the height and of the width, and the sampling factors."""
    data = bytearray(make_tiff(_BYTES, compression="jpeg"))
    assert read_image(bytes(data)).plane(0, 0).shape == _BYTES.shape
    data[data.index(b"\xff\xc0") + position] = value
    with pytest.raises(BadImageError, match=r"^a damaged TIFF: the header of a JPEG strip or tile does not match its tags$"):
        read_image(bytes(data)).plane(0, 0)


def test_values_other_than_grey_levels_are_refused() -> None:
    with pytest.raises(BadImageError, match=r"^a TIFF of complex64 values: expected grey levels$"):
        read_image(make_tiff(_PLANE.astype(np.complex64)))


def test_nothing_is_logged_about_a_damaged_file(
    caplog: pytest.LogCaptureFixture, make_pixels: Callable[..., np.ndarray]
) -> None:
    data = bytearray(_ome(make_pixels(0, 32), "YX"))
    start = data.index(b"<TiffData")
    data[start : start + 9] = b"<TiffDato"
    with contextlib.suppress(BadImageError):
        read_image(bytes(data)).plane(0, 0)
    assert not caplog.records
