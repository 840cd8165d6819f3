import io
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from components.convert.report.data import ReportSample
from components.convert.report.thumbnails import THUMBNAIL_PX, plan_thumbnails, thumbnail
from components.images.decode import Reading
from tests.components.images.tiffs import make_tiff

MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]


def _sample(sample_id: str, labels: tuple[int, ...], split: str = "train", group: str = "") -> ReportSample:
    return ReportSample(sample_id, split, 0, labels, group or sample_id, (1.0,), (1.0,))


def _shown(data: bytes | None) -> np.ndarray:
    assert data
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).astype(float)


class TestPlan:
    def test_shows_up_to_three_images_per_class_with_few_labels_first(self) -> None:
        samples = [_sample(f"a{k}", (0,)) for k in range(5)] + [
            _sample("b", (1, 2)),
            _sample("c", (0, 1, 2)),
            _sample("d", (2,)),
        ]
        plan = plan_thumbnails(4, samples, {})
        assert {label: len(ids) for label, ids in plan.by_class.items()} == {0: 3, 1: 2, 2: 1, 3: 0}
        assert plan.by_class[1] == ("b", "c")  # the rarer class chooses first
        assert plan.by_class[2] == ("d",)
        assert all(sample_id.startswith("a") for sample_id in plan.by_class[0])

    def test_does_not_depend_on_the_order_of_the_samples(self) -> None:
        samples = [_sample(f"s{k}", (k % 3, 3), group=f"g{k // 2}") for k in range(40)]
        quarantine = {f"q{k}": f"reason {k % 5}" for k in range(50)}
        reordered = dict(reversed(quarantine.items()))
        assert plan_thumbnails(4, samples, quarantine) == plan_thumbnails(4, samples[::-1], reordered)

    def test_prefers_training_images_and_never_shows_test_images(self) -> None:
        samples = [
            _sample("t", (0,), "test"),
            _sample("v", (0,), "validation"),
            _sample("n", (0, 1)),
            _sample("u", (2,), "test"),
        ]
        plan = plan_thumbnails(3, samples, {})
        assert plan.by_class == {0: ("v",), 1: ("n",), 2: ()}

    def test_does_not_show_near_duplicates_as_examples_of_a_class(self) -> None:
        plan = plan_thumbnails(1, [_sample(f"s{k}", (0,), group="one") for k in range(4)] + [_sample("other", (0,))], {})
        assert len(plan.by_class[0]) == 2
        assert "other" in plan.by_class[0]

    def test_shows_the_largest_groups(self) -> None:
        samples = [_sample(f"{size}-{k}", (0,), group=str(size)) for size in range(1, 10) for k in range(size)]
        plan = plan_thumbnails(1, samples, {})
        assert [ids[0] for ids in plan.groups] == ["9-0", "8-0", "7-0", "6-0", "5-0", "4-0"]
        assert {len(ids) for ids in plan.groups} == {3}

    def test_shows_each_reason_before_repeating_one(self) -> None:
        quarantine = {f"common{k:02d}": "common" for k in range(50)} | {"rare": "rare", "other": "other"}
        shown = plan_thumbnails(1, [], quarantine).quarantined
        assert shown[:3] == ("common00", "other", "rare")
        assert len(shown) == 18

    @pytest.mark.parametrize("num_classes", [1, 28, 60, 500])
    def test_number_of_pictures_is_bounded(self, num_classes: int) -> None:
        samples = [_sample(f"s{k}", (k % num_classes,), group=f"g{k // 2}") for k in range(4 * num_classes)]
        plan = plan_thumbnails(num_classes, samples, {f"q{k}": "bad" for k in range(100)})
        num_tiles = sum(map(len, plan.by_class.values())) + sum(map(len, plan.groups)) + len(plan.quarantined)
        assert len(plan.sample_ids) <= num_tiles <= 132


class TestThumbnail:
    def test_shows_red_green_and_blue_in_their_colours(self, make_png: MakePng) -> None:
        levels = {"red": 40, "green": 120, "blue": 200, "yellow": 255}
        shown = _shown(thumbnail({name: make_png(np.full((64, 64), level, np.uint8)) for name, level in levels.items()}))
        assert shown.shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)
        np.testing.assert_allclose(shown, np.broadcast_to([40, 120, 200], shown.shape), atol=3)

    @pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
    def test_shows_files_of_any_format(self, mode: str, kind: str) -> None:
        grey = np.full((64, 64), 120, np.uint8)
        file = io.BytesIO()
        Image.fromarray(grey).convert(mode).save(file, kind)
        np.testing.assert_allclose(_shown(thumbnail({"green": file.getvalue()}, 32))[16, 16], [0, 120, 0], atol=4)

    def test_scales_deep_files_by_the_range_or_else_by_their_maximum(self) -> None:
        grey = np.full((64, 64), 1200, np.uint16)
        grey[:32] = 2400
        data = make_tiff(grey)
        for reading, level in ((Reading(intensity_range="0:2550"), 120), (Reading(), 127)):
            np.testing.assert_allclose(_shown(thumbnail({"green": data}, 32, reading))[24, 16], [0, level, 0], atol=4)

    def test_undecodable_filter_is_black(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        data = make_png(make_pixels())
        shown = _shown(thumbnail({"red": data[: len(data) // 2], "green": data, "blue": b"<html>"}, 32))
        assert shown[..., 1].mean() > 100
        assert shown[..., [0, 2]].mean() < 20

    @pytest.mark.parametrize(
        "pngs", [{}, {"red": b""}, {"green": b"\xff\xd8\xff"}, {"blue": b"\x89PNG\r\n\x1a\n"}, {"yellow": b"x"}]
    )
    def test_is_none_if_no_filter_can_be_decoded(self, pngs: dict[str, bytes]) -> None:
        assert thumbnail(pngs) is None

    def test_does_not_decode_an_image_with_a_huge_header(self, make_pixels: MakePixels, make_png: MakePng) -> None:
        data = make_png(make_pixels())
        header = b"IHDR" + struct.pack(">II", 30_000, 30_000) + data[24:29]
        assert thumbnail({"green": data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]}) is None

    @pytest.mark.parametrize("levels", [range(256), (0, 255)])
    def test_stays_small_even_for_noise(self, make_png: MakePng, levels: Sequence[int]) -> None:
        noise = np.random.default_rng(0).choice(np.array(levels, np.uint8), (3, THUMBNAIL_PX, THUMBNAIL_PX))
        data = thumbnail(dict(zip(("red", "green", "blue"), map(make_png, noise), strict=True)))
        assert data
        assert len(data) <= 45_000

    def test_has_a_scale_bar_of_the_whole_width_if_the_file_gives_the_size_of_a_pixel(self) -> None:
        size = {"axes": "YX", "PhysicalSizeX": 80, "PhysicalSizeXUnit": "nm"}
        file = make_tiff(np.full((100, 200), 50, np.uint8), ome=True, metadata=size)  # 16 µm wide, so a bar of 5 µm
        row = _shown(thumbnail({"red": file}))[THUMBNAIL_PX - 6, :, 2]
        start = int(np.flatnonzero(row > 200)[0])
        assert THUMBNAIL_PX - 6 - start == pytest.approx(THUMBNAIL_PX * 5 / 16, abs=2)
