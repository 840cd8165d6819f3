from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest

from components.images.channels import project, read_channel, read_only_channel
from components.images.image import BadImageError
from components.images.reader import read_image
from tests.components.images.tiffs import make_tiff

MakePixels = Callable[..., np.ndarray]

_STACK = np.random.default_rng(0).integers(0, 4096, (2, 6, 20, 30), dtype=np.uint16)


def _ome(levels: np.ndarray, axes: str, names: list[str]) -> bytes:
    return make_tiff(levels, ome=True, metadata={"axes": axes, "Channel": {"Name": names}})


class TestReadChannel:
    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
    def test_finds_a_channel_by_name_at_any_position(self, make_pixels: MakePixels, order: tuple[int, ...]) -> None:
        names = [["DAPI", "Alexa 488, far", "tubulin"][number] for number in order]
        image = read_image(_ome(np.stack([make_pixels(number) for number in order]), "CYX", names))
        np.testing.assert_array_equal(read_channel(image, "alexa 488, FAR", ""), make_pixels(1))

    def test_reads_a_number_as_a_position_unless_it_is_a_name(self, make_pixels: MakePixels) -> None:
        planes = np.stack([make_pixels(seed) for seed in range(3)])
        np.testing.assert_array_equal(read_channel(read_image(_ome(planes, "CYX", ["a", "b", "c"])), "0", ""), planes[0])
        np.testing.assert_array_equal(read_channel(read_image(_ome(planes, "CYX", ["1", "488", "0"])), "0", ""), planes[2])
        np.testing.assert_array_equal(
            read_channel(read_image(_ome(planes, "CYX", ["405", "488", "561"])), "488", ""), planes[1]
        )

    @pytest.mark.parametrize(
        ("names", "wanted", "problem"),
        [
            (["DAPI", "Tub"], "actin", "no channel is called actin. The file has 0 DAPI, 1 Tub: name one of these in filters"),
            (["DAPI", "Tub"], "2", "no channel is called 2. The file has 0 DAPI, 1 Tub: "),
            (["x", "X"], "x", "several channels are called x. The file has 0 x, 1 X: "),
            (["", ""], "DAPI", "no channel is called DAPI. The file has 0, 1: "),
            (["Tub"], "DAPI", "no channel is called DAPI. The file has one channel: if each stain has its own file, "),
        ],
    )
    def test_lists_the_channels_if_none_or_several_match(self, names: list[str], wanted: str, problem: str) -> None:
        image = read_image(_ome(_STACK[: len(names), 0], "CYX", names))
        with pytest.raises(BadImageError) as raised:
            read_channel(image, wanted, "")
        assert str(raised.value).startswith(f"not clear: {problem}")

    def test_reads_the_colours_of_a_picture_as_channels(self, make_pixels: MakePixels) -> None:
        colours = [make_pixels(seed) for seed in range(4)]
        image = read_image(imagecodecs.png_encode(np.dstack(colours)))
        np.testing.assert_array_equal(read_channel(image, "blue", ""), colours[2])
        np.testing.assert_array_equal(read_channel(image, "3", ""), colours[3])


class TestReadOnlyChannel:
    @pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1, 2)])
    @pytest.mark.parametrize("encode", [imagecodecs.png_encode, lambda pixels: make_tiff(pixels, photometric="rgb")])
    def test_reads_the_stain_of_a_coloured_file(
        self, make_pixels: MakePixels, used: tuple[int, ...], encode: Callable[[np.ndarray], bytes]
    ) -> None:
        image = read_image(encode(_coloured(make_pixels(), used)))
        np.testing.assert_array_equal(read_only_channel(image, "red", ""), make_pixels())

    @pytest.mark.parametrize("num_grey", [1, 3])
    def test_ignores_an_opaque_alpha_channel(self, make_pixels: MakePixels, num_grey: int) -> None:
        opaque = np.full((128, 128), 255, np.uint8)
        image = read_image(imagecodecs.png_encode(np.dstack([*[make_pixels()] * num_grey, opaque])))
        np.testing.assert_array_equal(read_only_channel(image, "red", ""), make_pixels())

    def test_refuses_a_transparent_file(self, make_pixels: MakePixels) -> None:
        image = read_image(imagecodecs.png_encode(np.dstack([make_pixels(), make_pixels(1)])))
        with pytest.raises(BadImageError, match=r"^an 8-bit greyscale with alpha PNG that is partly transparent: save it"):
            read_only_channel(image, "red", "")

    def test_reads_equal_red_and_green_as_yellow(self, make_pixels: MakePixels) -> None:
        image = read_image(imagecodecs.png_encode(_coloured(make_pixels(), (0, 1))))
        np.testing.assert_array_equal(read_only_channel(image, "yellow", ""), make_pixels())
        with pytest.raises(BadImageError, match=r"^an 8-bit RGB PNG that uses 2 colours, so shows more than one stain: save"):
            read_only_channel(image, "green", "")

    @pytest.mark.parametrize("used", [(0, 1), (0, 2), (0, 1, 2)])
    def test_refuses_a_coloured_file_of_several_stains(self, make_pixels: MakePixels, used: tuple[int, ...]) -> None:
        colours = np.dstack([make_pixels(channel) * (channel in used) for channel in range(3)])
        for filter_name in ("red", "yellow"):
            with pytest.raises(BadImageError, match=f"that uses {len(used)} colours, so shows more than one stain: "):
                read_only_channel(read_image(imagecodecs.png_encode(colours)), filter_name, "")

    def test_reads_a_black_coloured_file_as_black(self) -> None:
        image = read_image(imagecodecs.png_encode(np.zeros((20, 30, 3), np.uint8)))
        assert not read_only_channel(image, "red", "").any()

    def test_refuses_a_file_of_several_channels_and_lists_them(self) -> None:
        image = read_image(_ome(_STACK[:, 0], "CYX", ["DAPI", "Tub"]))
        with pytest.raises(BadImageError, match=r"^a 16-bit TIFF of several channels\. Leave \{filter\} out .* 0 DAPI, 1 Tub$"):
            read_only_channel(image, "red", "")

    def test_reads_unnamed_pages_as_a_stack(self) -> None:
        image = read_image(make_tiff(_STACK[0]))
        np.testing.assert_array_equal(read_only_channel(image, "red", "max"), _STACK[0].max(axis=0))


class TestProject:
    @pytest.mark.parametrize("axes", ["CZYX", "CTYX"])
    @pytest.mark.parametrize(
        ("projection", "expected"),
        [
            ("max", _STACK.max(axis=1)),
            ("mean", np.floor(_STACK.mean(axis=1) + 0.5).astype(np.uint16)),
            ("sum", _STACK.sum(axis=1).astype(np.uint32)),
            ("middle", _STACK[:, 3]),
        ],
    )
    def test_projects_a_stack_to_one_plane(self, axes: str, projection: str, expected: np.ndarray) -> None:
        image = read_image(make_tiff(_STACK, ome=True, metadata={"axes": axes}))
        for channel in range(2):
            np.testing.assert_array_equal(project(image, channel, projection), expected[channel], strict=True)

    def test_keeps_floats(self) -> None:
        stack = _STACK[0].astype(np.float32) / 4096
        image = read_image(make_tiff(stack, ome=True, metadata={"axes": "ZYX"}))
        np.testing.assert_allclose(project(image, 0, "mean"), stack.mean(axis=0), rtol=1e-6)

    def test_refuses_a_stack_without_a_projection(self) -> None:
        image = read_image(make_tiff(_STACK, ome=True, metadata={"axes": "CZYX"}))
        with pytest.raises(BadImageError, match=r"^a stack of 6 planes: give projection=max\|mean\|sum\|middle$"):
            project(image, 0, "")

    @pytest.mark.parametrize("projection", ["", "max", "mean", "sum", "middle"])
    def test_leaves_a_single_plane_unchanged(self, projection: str) -> None:
        np.testing.assert_array_equal(project(read_image(make_tiff(_STACK[0, 0])), 0, projection), _STACK[0, 0], strict=True)


def _coloured(image: np.ndarray, used: tuple[int, ...]) -> np.ndarray:
    """An RGB picture that shows an image in some of its colours, as the atlas's website does."""
    return np.dstack([image if channel in used else image * 0 for channel in range(3)])
