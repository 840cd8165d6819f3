import html
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from components.artifacts.labels import CLASS_NAMES, FILTERS
from components.artifacts.manifest import Examples
from components.convert.report.data import ReportData, ReportSample
from components.convert.report.page import data_report
from components.convert.report.thumbnails import THUMBNAIL_PX, plan_thumbnails, thumbnail
from components.images.exposure import ExposureWarning
from components.images.intensity import NUM_LEVELS

MakePng = Callable[[np.ndarray], bytes]
_OTHER_CLASSES = ["Nucleus", "Cytosol & membrane", "Vesicles"]


def _examples(class_names: list[str], channels: tuple[str, ...] = FILTERS[:3]) -> Examples:
    return Examples(
        fingerprint="f",
        inputs={},
        parameters={"split": "grouped"},
        source="dir:cells",
        licence="Image credit: Human Protein Atlas",
        image_size_px=75,
        channels=list(channels),
        class_names=class_names,
        shards={},
        num_quarantined=0,
    )


def _samples(num_samples: int, num_classes: int, num_batches: int = 1, num_channels: int = 3) -> list[ReportSample]:
    """Every fourth sample is a near-duplicate of the previous one; an eighth each is for validation and test."""
    samples = []
    for k in range(num_samples):
        group = k - 1 if k % 4 == 3 else k
        split = {4: "validation", 5: "test"}.get(k % 8, "train")
        labels = tuple(sorted({k % num_classes, k // 3 % num_classes}))
        mean = tuple(10.0 + k % 7 + channel for channel in range(num_channels))
        mean_square = tuple(m * m + 400 for m in mean)
        samples.append(ReportSample(f"s{k:03d}", split, k * num_batches // num_samples, labels, f"g{group}", mean, mean_square))
    return samples


def _data(
    class_names: list[str],
    samples: list[ReportSample],
    quarantine: dict[str, str] | None = None,
    thumbnails: dict[str, bytes] | None = None,
    channels: tuple[str, ...] = FILTERS[:3],
) -> ReportData:
    histograms = {split: np.arange(len(channels) * 32).reshape(-1, 32) + 1 for split in sorted({s.split for s in samples})}
    return ReportData(_examples(class_names, channels), samples, quarantine or {}, histograms, 7, thumbnails or {})


def _section(page: str, title: str) -> str:
    """The text of a section of the page."""
    content = page.split(f"<h2>{title}</h2>")[1].partition("<h2>")[0]
    return " ".join(html.unescape(re.sub(r"<svg.*?</svg>|<[^>]*>", " ", content, flags=re.DOTALL)).split())


def _row(page: str, title: str, first_cell: str) -> list[str]:
    """The cells of a table's row after its name."""
    content = page.split(f"<h2>{title}</h2>")[1].partition("<h2>")[0]
    for row in re.findall(r"<tr>(.*?)</tr>", content):
        cells = [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
        if cells and cells[0] == first_cell:
            return cells[1:]
    raise AssertionError(f"no row {first_cell!r} in {title!r}")


@pytest.fixture(scope="module")
def published_page() -> str:
    """A page with the competition's classes: one batch, no sample left out."""
    return data_report(_data(list(CLASS_NAMES), _samples(200, 28)))


@pytest.fixture(scope="module")
def page() -> str:
    """A page with other classes: two batches, many samples left out."""
    quarantine = {f"q{k:03d}": "the blue filter is missing" for k in range(250)} | {"z": "saturated <b>"}
    return data_report(_data(_OTHER_CLASSES, _samples(80, 3, num_batches=2), quarantine))


def test_class_counts_are_compared_with_the_published_ones(published_page: str) -> None:
    labels = [(sample.split, label) for sample in _samples(200, 28) for label in sample.labels]
    counted = [labels.count((split, 27)) for split in ("train", "validation", "test")]
    row = _row(published_page, "Images per class", "Rods & rings")
    assert row == [*map(str, counted), str(sum(counted)), f"{sum(counted) / 2:.1f} %", "11", "0.04 %"]
    assert _row(published_page, "Images per class", "Nucleoplasm")[-2:] == ["12,885", "41.5 %"]


def test_labels_per_image_are_compared_with_the_published_ones(published_page: str) -> None:
    shares = [_row(published_page, "Classes per image", str(number))[-1] for number in range(1, 6)]
    assert shares == ["48.7 %", "40.2 %", "10.2 %", "0.96 %", "0.01 %"]


def test_other_class_sets_are_not_compared_with_published_ones(page: str) -> None:
    assert "published" not in page.lower()
    assert len(_row(page, "Images per class", "Cytosol & membrane")) == 5


def test_brightness_covers_all_pixels_and_gives_the_share_at_both_ends(page: str) -> None:
    samples = [replace(s, mean=(10.0, 20.0, 30.0), mean_square=(200.0, 500.0, 1300.0)) for s in _samples(8, 3)]
    dark = np.zeros((3, NUM_LEVELS), np.int64)
    dark[:, 0], dark[:, 255] = 75, 25
    fine = data_report(replace(_data(_OTHER_CLASSES, samples), histograms=dict.fromkeys(("train", "validation", "test"), dark)))
    assert _row(fine, "Brightness", "green: the protein") == ["train", "20.0", "10.0", "75.00 %", "25.00 %"]
    assert "darkest (up to 0)" in fine
    assert "darkest (up to 7)" in page  # with 32 bins


def test_near_duplicates_are_counted_and_shown(page: str) -> None:
    words = _section(page, "Near-duplicates")
    assert "A random split would have divided 7 of the 20 groups (35.0 %)" in words
    assert "In this split, none is divided." in words
    assert _row(page, "Near-duplicates", "2") == ["20", "40"]
    assert words.count("2 images, train:") == 6


def test_groups_that_this_split_divides_are_counted() -> None:
    samples = [replace(s, split="test" if s.sample_id == "s003" else s.split) for s in _samples(16, 3)]
    assert "In this split, one is divided." in _section(data_report(_data(_OTHER_CLASSES, samples)), "Near-duplicates")


def test_drift_is_shown_once_there_are_two_batches(page: str, published_page: str) -> None:
    assert "only one batch" in _section(published_page, "The newest batch")
    words = _section(page, "The newest batch")
    assert "The newest batch (30 distinct images) does not differ significantly from the earlier ones." in words
    assert "brightness of blue" in words


def test_samples_left_out_are_counted_by_reason_and_listed(page: str, published_page: str) -> None:
    words = _section(page, "Left out")
    assert "251 samples of 331 (75.8 %) could not be used." in words
    assert _row(page, "Left out", "the blue filter is missing") == ["250"]
    assert "And 51 more, in quarantine.csv." in words
    assert "saturated <b>" in words
    assert "saturated <b>" not in page  # escaped: a reason may quote a file
    assert words.count("no picture") == 18
    assert "every sample could be used" in _section(published_page, "Left out")


def test_the_contact_sheet_shows_the_thumbnails() -> None:
    samples = _samples(60, 3)
    plan = plan_thumbnails(3, samples, {"bad": "the red filter is missing"})
    pictures = {sample_id: f"picture of {sample_id}".encode() for sample_id in plan.sample_ids}
    page = data_report(_data(_OTHER_CLASSES, samples, {"bad": "the red filter is missing"}, pictures))
    num_tiles = sum(map(len, plan.by_class.values())) + sum(map(len, plan.groups)) + 1
    assert page.count("data:image/jpeg;base64,") == num_tiles
    assert "no picture" not in page
    num_vesicles = sum(2 in sample.labels for sample in samples)
    assert f"Vesicles {num_vesicles} images" in _section(page, "What the classes look like")


def test_the_first_section_summarises_the_page() -> None:
    samples = [sample for sample in _samples(80, 3) if sample.split != "validation" or 2 not in sample.labels]
    words = _section(data_report(_data([*_OTHER_CLASSES, "Peroxisomes"], samples, {"q": "bad"})), "At a glance")
    assert "Not every class is in every split: no image of Peroxisomes; no validation image of Vesicles." in words
    assert "20 groups; a random split would have divided 7 of them." in words
    assert "1 sample left out" in words


@pytest.mark.parametrize("channels", [FILTERS[:3], FILTERS])
@pytest.mark.parametrize("num_samples", [0, 1, 8])
def test_a_page_is_rendered_for_any_content(num_samples: int, channels: tuple[str, ...]) -> None:
    samples = _samples(num_samples, 3, num_batches=max(1, num_samples), num_channels=len(channels))
    page = data_report(_data(_OTHER_CLASSES, samples, channels=channels))
    for title in ("At a glance", "Brightness", "The newest batch", "Near-duplicates", "Left out", "Licence"):
        assert f"<h2>{title}</h2>" in page


def test_the_page_is_self_contained_and_stays_below_10_mb(make_png: MakePng) -> None:
    samples = _samples(2000, 28, num_batches=3)
    quarantine = {f"q{k:04d}": f"reason {k}" for k in range(300)}
    noise = np.random.default_rng(0).integers(0, 2, (3, THUMBNAIL_PX, THUMBNAIL_PX), dtype=np.uint8) * 255
    largest = thumbnail(dict(zip(FILTERS[:3], map(make_png, noise), strict=True)))
    assert largest
    plan = plan_thumbnails(28, samples, quarantine)
    page = data_report(_data(list(CLASS_NAMES), samples, quarantine, dict.fromkeys(plan.sample_ids, largest)))
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert len(page.encode()) < 10e6


def test_badly_exposed_images_are_counted_and_named() -> None:
    dark = ExposureWarning("green", "nearly black", ("s000", "s003"), 8)
    page = data_report(replace(_data(list(CLASS_NAMES), _samples(8, 28)), exposure=[dark]))
    assert "2 images (25.0 %) may be badly exposed or scaled" in _section(page, "At a glance")
    assert "green: 2 of 8 images look nearly black (s000, s003)" in _section(page, "Brightness")


@pytest.mark.parametrize(("given", "said"), [("auto", " as measured in the training split."), ("0:4095,0:9,1:5", ".")])
def test_the_range_of_grey_levels_is_shown(given: str, said: str) -> None:
    data = _data(list(CLASS_NAMES), _samples(8, 28))
    assert "Grey levels" not in data_report(data)
    parameters = data.examples.parameters | {"intensity_range": given}
    examples = data.examples.model_copy(update={"intensity_range": "0:4095,0:9,1:5", "parameters": parameters})
    glance = _section(data_report(replace(data, examples=examples)), "At a glance")
    assert f"Grey levels that are black and white (red, green, blue): 0:4095,0:9,1:5{said}" in glance


def test_images_of_another_pixel_size_are_named() -> None:
    data = _data(list(CLASS_NAMES), _samples(8, 28))
    examples = data.examples.model_copy(update={"pixel_size_um": 0.08})
    sizes = {"s000": 0.08, "s001": 0.079, "s002": 0.16}
    page = data_report(replace(data, examples=examples, pixel_sizes_um=sizes))
    glance = _section(page, "At a glance")
    assert (
        "Pixel size: 0.08 µm, the median of 3 files with a pixel size. In 1 image it is more than 10 % larger or smaller: s002."
        in glance
    )
