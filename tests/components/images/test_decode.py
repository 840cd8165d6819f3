from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest

from components.images.decode import Reading, sample_pixels, stack_filters
from components.images.image import BadImageError
from tests.components.images.tiffs import make_tiff

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]
_RGB = ("red", "green", "blue")


class TestStack:
    def test_averages_areas_as_opencv_does(self, make_pixels: MakePixels) -> None:
        images = [make_pixels(seed, 128) for seed in range(4)]
        stacked = stack_filters(images, 75)
        assert (stacked.shape, stacked.dtype) == ((75, 75, 4), np.uint8)
        for channel, image in enumerate(images):
            np.testing.assert_array_equal(stacked[..., channel], cv2.resize(image, (75, 75), interpolation=cv2.INTER_AREA))

    def test_leaves_pixels_unchanged_if_the_size_is_right(self, make_pixels: MakePixels) -> None:
        np.testing.assert_array_equal(stack_filters([make_pixels(0, 75)], 75)[..., 0], make_pixels(0, 75))

    def test_averages_whole_blocks_if_the_size_is_a_multiple(self) -> None:
        image = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((3, 3), np.uint8))
        np.testing.assert_array_equal(stack_filters([image], 4)[..., 0], np.arange(16).reshape(4, 4))

    @pytest.mark.parametrize(("height", "width"), [(128, 100), (100, 150), (101, 128)])
    def test_takes_the_central_square_of_a_nearly_square_image(self, make_pixels: MakePixels, height: int, width: int) -> None:
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
                "128 x 80 pixels: too far from square, .* prepare FOLDER OUT --tiles 1`",
            ),
            ([(74, 74), (74, 74)], "74 x 74 pixels: smaller than image_size_px=75. No network here takes less than 75"),
        ],
    )
    def test_refuses_sizes_that_do_not_fit(self, make_pixels: MakePixels, sizes: list[tuple[int, int]], reason: str) -> None:
        with pytest.raises(BadImageError, match=f"^{reason}$"):
            stack_filters([make_pixels(0, height, width) for height, width in sizes], 75)


class TestSamplePixels:
    @pytest.fixture
    def pngs(self, make_pixels: MakePixels, make_png: MakePng) -> dict[str, bytes]:
        return {name: make_png(make_pixels(seed)) for seed, name in enumerate(("blue", "green", "red", "yellow"))}

    def test_stacks_filters_in_the_requested_order(self, make_pixels: MakePixels, pngs: dict[str, bytes]) -> None:
        pixels = sample_pixels(pngs, ("red", "green", "blue", "yellow"), 75)
        np.testing.assert_array_equal(pixels, stack_filters([make_pixels(seed) for seed in (2, 1, 0, 3)], 75))

    @pytest.mark.parametrize("side_px", [75, 512, 2048, 3072])
    def test_accepts_any_side_from_the_target_size_up(self, make_pixels: MakePixels, make_png: MakePng, side_px: int) -> None:
        images = [make_pixels(seed, side_px) for seed in range(3)]
        pixels = sample_pixels(dict(zip(_RGB, map(make_png, images), strict=True)), _RGB, 75)
        np.testing.assert_array_equal(pixels, stack_filters(images, 75))

    def test_ignores_filters_that_are_not_requested(self, pngs: dict[str, bytes]) -> None:
        assert sample_pixels(pngs | {"yellow": b"no image"}, _RGB, 75).shape == (75, 75, 3)

    def test_accepts_every_real_sample(self, hpa_dir: Path) -> None:
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
    def test_names_the_bad_filter_and_the_reason(
        self, make_png: MakePng, pngs: dict[str, bytes], image: np.ndarray | bytes | None, reason: str
    ) -> None:
        del pngs["green"]
        if image is not None:
            pngs["green"] = image if isinstance(image, bytes) else make_png(image)
        with pytest.raises(BadImageError, match=f"^{reason}"):
            sample_pixels(pngs, _RGB, 75)

    def test_refuses_the_same_image_for_two_filters_in_any_encoding(
        self, make_pixels: MakePixels, pngs: dict[str, bytes]
    ) -> None:
        with pytest.raises(BadImageError, match=r"^the red and blue filters show the same image$"):
            sample_pixels(pngs | {"blue": pngs["red"]}, _RGB, 75)
        with pytest.raises(BadImageError, match=r"^the red and green filters show the same image$"):
            sample_pixels(pngs | {"red": imagecodecs.png_encode(make_pixels(1))}, _RGB, 75)

    @pytest.mark.parametrize(("level", "reason"), [(0, "all black"), (255, "saturated")])
    def test_reports_black_or_saturated_filters_before_equal_ones(self, make_png: MakePng, level: int, reason: str) -> None:
        data = make_png(np.full((128, 128), level, np.uint8))
        with pytest.raises(BadImageError, match=f"^the red filter is {reason}: "):
            sample_pixels(dict.fromkeys(_RGB, data), _RGB, 75)

    def test_scales_deep_files_by_the_range_before_it_resizes(self, make_pixels: MakePixels) -> None:
        planes = [make_pixels(seed).astype(np.uint16) * 16 + 100 for seed in range(3)]
        files = {name: make_tiff(plane) for name, plane in zip(_RGB, planes, strict=True)}
        pixels = sample_pixels(files, _RGB, 75, Reading(intensity_range="100:4180"))
        np.testing.assert_array_equal(pixels, stack_filters([make_pixels(seed) for seed in range(3)], 75))

    def test_scales_each_stain_by_its_own_range(self, make_pixels: MakePixels) -> None:
        planes = [make_pixels(seed).astype(np.uint16) * gain for seed, gain in enumerate((1, 16, 4))]
        files = {name: make_tiff(plane) for name, plane in zip(_RGB, planes, strict=True)}
        reading = Reading(intensity_range="0:255,0:4080,0:1020", stains=_RGB)
        pixels = sample_pixels(files, _RGB, 75, reading)
        np.testing.assert_array_equal(pixels, stack_filters([make_pixels(seed) for seed in range(3)], 75))
        with pytest.raises(BadImageError, match=r"^the green filter is all black: .* \(with intensity_range=0:4080\)$"):
            sample_pixels(files | {"green": make_tiff(planes[1] // 40)}, _RGB, 75, reading)

    def test_reads_all_channels_from_one_file(self, make_pixels: MakePixels) -> None:
        planes = [make_pixels(seed) for seed in range(3)]
        data = make_tiff(np.stack(planes), ome=True, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "Tub", "Ab"]}})
        reading = Reading(channels=(("red", "tub"), ("green", "2"), ("blue", "DAPI")))
        pixels = sample_pixels(dict.fromkeys(_RGB, data), _RGB, 75, reading)
        np.testing.assert_array_equal(pixels, stack_filters([planes[1], planes[2], planes[0]], 75))
        with pytest.raises(BadImageError, match=r"^the yellow filter is not named in filters: say which channel it is$"):
            sample_pixels({"yellow": data}, ("yellow",), 75, reading)

    def test_names_the_range_that_made_a_filter_black(self, make_pixels: MakePixels) -> None:
        data = make_tiff(make_pixels().astype(np.uint16))
        with pytest.raises(BadImageError, match=r"^the red filter is all black: .* \(with intensity_range=0:65535\)$"):
            sample_pixels({"red": data}, ("red",), 75, Reading(intensity_range="0:65535"))
