import io
import re
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from components import storage
from components.artifacts.image_names import ImageNames
from components.artifacts.index import read_index
from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.convert.shards.tasks import plan_shards
from components.convert.shards.writer import convert_sample
from components.ingest.raw import ingest_images
from components.ingest.sources.folder import Folder
from components.ingest.sources.synthetic import Synthetic
from components.preview.preview import preview
from components.serving.predict.folder import find_images
from tests.components.images.tiffs import make_ome_tiffs


def _num_tiles(page: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(page)) as image:
        return image.width // 206, image.height // 206


def test_the_first_samples_are_shown() -> None:
    assert _num_tiles(preview(Synthetic(5, series=0), class_names=CLASS_NAMES, by_class=False).page) == (5, 1)


def test_each_class_of_a_folder_is_shown_by_its_purest_sample(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    source = Folder(str(make_folder(tmp_path / "cells", {"a": "0 1", "b": "1", "c": "0 2", "d": "0"})), class_names=CLASS_NAMES)
    assert _num_tiles(preview(source, class_names=CLASS_NAMES, by_class=True).page) == (3, 1)


def test_a_folder_without_the_three_filters_cannot_be_shown(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    source = Folder(str(make_folder(tmp_path / "cells", {"a": "0"}, filters=("green",))), class_names=CLASS_NAMES)
    with pytest.raises(ValueError, match=r"No sample can be shown: [\s\S]*\n  a: the red filter is missing\n"):
        preview(source, class_names=CLASS_NAMES, by_class=False)


MakeFolder = Callable[..., Path]
MakePixels = Callable[..., np.ndarray]
MakePng = Callable[[np.ndarray], bytes]


@pytest.fixture
def damaged(tmp_path: Path, make_folder: MakeFolder, make_pixels: MakePixels, make_png: MakePng) -> Path:
    """A folder with a good sample, and one with each kind of defect."""
    folder = make_folder(tmp_path / "cells", dict.fromkeys("abcdefghij", "0"))
    images = folder / "train"
    (images / "b_blue.png").write_bytes((images / "b_blue.png").read_bytes()[:2000])
    (images / "c_red.png").write_bytes(b"no image")
    (images / "d_green.png").write_bytes(make_png(make_pixels().astype(np.uint16) * 257))
    (images / "e_blue.png").write_bytes(make_png(make_pixels(0, 100)))
    (images / "f_green.png").write_bytes(make_png(np.dstack([make_pixels(seed) for seed in range(3)])))
    (images / "g_red.png").unlink()
    (images / "h_yellow.png").write_bytes((images / "h_green.png").read_bytes())
    (images / "i_yellow.png").write_bytes(b"GIF8")
    with (folder / "train.csv").open("a") as file:
        file.write("j,1\nk,99\nnowhere,0\n")
    return folder


def test_samples_that_a_run_would_leave_out_have_its_reasons(damaged: Path, tmp_path: Path) -> None:
    source = Folder(str(damaged), CLASS_NAMES)
    found = preview(source, CLASS_NAMES, by_class=False)
    assert _num_tiles(found.page) == (1, 1)

    raw = ingest_images(source, "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    index = read_index(raw.index_uri)
    reasons = {sample.sample_id: sample.reason for sample in index if sample.reason}
    (task,) = plan_shards(
        [sample for sample in index if not sample.reason],
        {sample.sample_id: "train" for sample in index},
        FILTERS[:3],
        75,
        raw.images_uri,
        str(tmp_path / "examples"),
        0,
    )
    for sample in task.samples:
        pngs = {name: storage.read_bytes(f"{raw.images_uri}/{file.name}") for name, file in task.files(sample).items()}
        reasons[sample.sample_id] = convert_sample(task, sample, pngs)[0].reason
    paths = {"b": "b_blue", "c": "c_red", "d": "d_green", "f": "f_green", "i": "i_yellow"}
    expected = [
        f"  {sample_id}: {f'train/{paths[sample_id]}.png: ' if sample_id in paths else ''}{reasons[sample_id]}"
        for sample_id in "bcdefghijk"
    ]
    assert reasons["a"] == ""
    assert found.findings == [
        "A run would leave out 10 of 11 samples (all rows, and the images of 8 samples, were checked):",
        *expected,
        "A run stops if it leaves out a larger fraction of the samples than max_bad_fraction.",
        "Rows without any image, which are also left out: 1.",
        "The images shown allow image_size_px=128 at most.",
    ]


def test_tiles_have_a_scale_bar_if_the_files_give_the_size_of_a_pixel(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "cells", {"a": "0"}, side_px=200, pixel_size_nm=80)  # 16 µm, so a bar of 5 µm
    source = Folder(str(folder), CLASS_NAMES, image_names=ImageNames("{id}.ome.tif", "red=Tub,green=Ab,blue=DAPI"))
    page = preview(source, CLASS_NAMES, by_class=False, intensity_range="0:8190").page
    with Image.open(io.BytesIO(page)) as image:
        row = np.asarray(image.convert("L"))[6 + 200 - 6, 6:206]
    start = int(np.flatnonzero(row > 250)[0])
    assert 60 <= 194 - start <= 65  # of 62.5


def test_badly_exposed_images_are_named(tmp_path: Path, make_folder: MakeFolder, make_png: MakePng) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"}, filters=FILTERS[:3])
    dark = np.random.default_rng(0).integers(0, 17, (128, 128)).astype(np.uint8)
    (folder / "train" / "b_green.png").write_bytes(make_png(dark))
    findings = preview(Folder(str(folder), CLASS_NAMES), CLASS_NAMES, by_class=False).findings
    assert [line.partition(":")[0] for line in findings if " look " in line] == ["green"]
    assert any(line.startswith("green: 1 of 2 images look nearly black (b): ") for line in findings)


def test_preview_ingest_and_predict_take_the_same_ids(tmp_path: Path, make_folder: MakeFolder) -> None:
    ids = ["M\u00fcller 6", "well A1 (2)", "plain"]
    folder = make_folder(tmp_path / "cells", dict.fromkeys(ids, "0"), filters=FILTERS[:3])
    source = Folder(str(folder), CLASS_NAMES)
    assert preview(source, CLASS_NAMES, by_class=False).findings[0].startswith("A run would leave out 0 of 3 samples")
    raw = ingest_images(source, "dir:cells", str(tmp_path / "data"), list(CLASS_NAMES))
    predicted = find_images(str(folder), ["red"]).samples
    assert [(sample.sample_id, sample.reason) for sample in read_index(raw.index_uri)] == [(one, "") for one in sorted(ids)]
    assert [(sample.sample_id, sample.problem) for sample in predicted] == [(one, "") for one in sorted(ids)]


def test_a_long_list_is_grouped_by_reason_with_counts(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0"} | {f"bad{k:02d}": "99" for k in range(13)})
    findings = preview(Folder(str(folder), CLASS_NAMES), CLASS_NAMES, by_class=False).findings
    assert findings[0].startswith("A run would leave out 13 of 14 samples")
    assert re.fullmatch("  13 x .*99.*: bad00 and others", findings[1])
    assert findings[2].startswith("A run stops if")


def test_if_no_image_can_be_used_the_files_are_named(tmp_path: Path, make_folder: MakeFolder) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    for path in (folder / "train").glob("*_green.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"No sample can[\s\S]*a: train/a_green\.png: the green filter is an empty file"):
        preview(Folder(str(folder), CLASS_NAMES), CLASS_NAMES, by_class=False)


class TestFormats:
    def test_channels_of_one_file_are_shown_once_the_required_parameters_are_given(self, tmp_path: Path) -> None:
        folder = make_ome_tiffs(tmp_path / "cells", {"a": "0", "b": "1"}, num_planes=2)
        names = ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi")
        source = Folder(str(folder), CLASS_NAMES, image_names=names)
        with pytest.raises(ValueError, match=r"a: a\.ome\.tif: the red filter is a stack of 2 planes: give projection=max"):
            preview(source, CLASS_NAMES, by_class=False)
        with pytest.raises(
            ValueError, match=r"a: a\.ome\.tif: the red filter is 16-bit, .* such as intensity_range=0:4095; or, .*=auto\n"
        ):
            preview(source, CLASS_NAMES, by_class=False, projection="max")
        found = preview(source, CLASS_NAMES, by_class=False, intensity_range="0:4095", projection="max")
        assert _num_tiles(found.page) == (2, 1)
        assert found.findings[0].startswith("A run would leave out 0 of 2 samples")

    def test_an_automatic_range_equals_the_proposed_one(self, tmp_path: Path) -> None:
        folder = make_ome_tiffs(tmp_path / "cells", {"a": "0", "b": "1"})
        (folder / "c.ome.tif").write_bytes(b"no image")
        with (folder / "train.csv").open("a") as table:
            table.write("c,0\n")
        source = Folder(str(folder), CLASS_NAMES, image_names=ImageNames("{id}.ome.tif", "red=tub,green=Ab,blue=dapi"))
        found = preview(source, CLASS_NAMES, by_class=False, intensity_range="auto")
        assert _num_tiles(found.page) == (2, 1)
        (proposed,) = [line.split()[2] for line in found.findings if line.startswith("intensity_range=auto gives")]
        assert preview(source, CLASS_NAMES, by_class=False, intensity_range=proposed).page == found.page

    @pytest.mark.parametrize(("level", "reason"), [(0, "all black"), (255, "saturated")])
    def test_black_and_saturated_samples_are_reported(
        self, tmp_path: Path, make_folder: MakeFolder, make_png: MakePng, level: int, reason: str
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
        for path in (folder / "train").glob("a_*.png"):
            path.write_bytes(make_png(np.full((128, 128), level, np.uint8)))
        findings = preview(Folder(str(folder), CLASS_NAMES), CLASS_NAMES, by_class=False).findings
        assert findings[1].startswith(f"  a: train/a_red.png: the red filter is {reason}: ")

    def test_other_kinds_of_png_and_jpeg_are_shown(
        self, tmp_path: Path, make_folder: MakeFolder, make_pixels: MakePixels
    ) -> None:
        folder = make_folder(tmp_path / "cells", dict.fromkeys("abcd", "0"))
        opaque = np.full((128, 128), 255, np.uint8)
        for position, name in enumerate(FILTERS):
            grey = make_pixels(50 + position)
            contents = {
                "a": imagecodecs.png_encode(np.dstack([grey, grey, grey, opaque])),
                "b": imagecodecs.png_encode(np.dstack([grey, opaque])),
                "c": imagecodecs.jpeg8_encode(grey),
            }
            for sample_id, data in contents.items():
                (folder / "train" / f"{sample_id}_{name}.png").write_bytes(data)
        assert _num_tiles(preview(Folder(str(folder), CLASS_NAMES), CLASS_NAMES, by_class=False).page) == (4, 1)

    def test_images_that_use_few_grey_levels_need_a_range(
        self, tmp_path: Path, make_folder: MakeFolder, make_pixels: MakePixels, make_png: MakePng
    ) -> None:
        folder = make_folder(tmp_path / "cells", {"a": "0"})
        for position, name in enumerate(FILTERS):
            (folder / "train" / f"a_{name}.png").write_bytes(make_png(make_pixels(position) // 32))
        source = Folder(str(folder), CLASS_NAMES)
        with pytest.raises(ValueError, match=r"a: train/a_red\.png: the red filter is all black"):
            preview(source, CLASS_NAMES, by_class=False)
        assert _num_tiles(preview(source, CLASS_NAMES, by_class=False, intensity_range="0:8").page) == (1, 1)
