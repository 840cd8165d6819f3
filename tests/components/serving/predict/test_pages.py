import base64
import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components import storage
from components.serving.model import load_model, read_manifest
from components.serving.predict.decoding import Batch
from components.serving.predict.pages import MAX_BAD, PER_PAGE, Pages, page_uri
from components.serving.predict.prediction import predict
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS, SIDE_PX
from tests.conftest import OBJECT_STORES


def _write(version: Path, out_uri: str, ids: list[str], reasons: list[str], width_um: float | None = None) -> None:
    """Writes pages of random images."""
    model = load_model(str(version), read_manifest(str(version)), 32, Path())
    pixels = np.random.default_rng(0).integers(0, 256, (len(ids), SIDE_PX, SIDE_PX, len(FILTERS)), np.uint8)
    with contextlib.ExitStack() as files:
        pages = Pages(out_uri, model, files)
        for start in range(0, len(ids), 32):
            part = slice(start, start + 32)
            widths_um = [width_um] * len(ids[part])
            batch = Batch(ids[part], pixels[part], reasons[part], [None] * len(ids[part]), widths_um, {})
            pages.write(batch, model.classify(pixels[part]))
        pages.finish()
        assert not storage.exists(page_uri(out_uri))


def _pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'<img alt="[^"]*" src="data:image/jpeg;base64,([^"]*)">', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def _sizes(page: str) -> list[tuple[int, int]]:
    return [picture.size for picture in _pictures(page)]


def test_pictures_have_a_scale_bar_where_the_width_is_known(version_dir: Path, tmp_path: Path) -> None:
    for name, width_um, has_bar in (("a", 16.0, True), ("b", None, False)):
        _write(version_dir, str(tmp_path / f"{name}.csv"), ["s"], [""], width_um)
        (picture,) = _pictures((tmp_path / f"{name}.html").read_text())
        assert (np.asarray(picture)[194, 140:190].min() > 200) == has_bar


def test_each_sample_is_shown_with_its_id_decisions_and_top_classes(
    version_with_maps_dir: Path, cells_dir: Path, tmp_path: Path
) -> None:
    (cells_dir / "train" / "s00-red.png").write_bytes(b"")
    try:
        predict(str(version_with_maps_dir), str(cells_dir), str(tmp_path / "p.csv"), with_pages=True)
    finally:
        (cells_dir / "train" / "s00-red.png").unlink()
    page = (tmp_path / "p.html").read_text()
    assert _sizes(page) == [(400, 200)] * 70  # with an activation map beside each
    assert re.findall(r"<h3[^>]*>(.*?)</h3>", page) == [f"s{number:02d}" for number in range(70)]
    row = (tmp_path / "p.csv").read_text().splitlines()[1].split(",")
    probabilities = [float(text) for text in row[2:]]
    figure = re.sub(r"<[^>]*>", "", page[page.index("s00</h3>") : page.index("s01</h3>")])
    assert row[1].replace("&", "&amp;") in figure
    for name, probability, threshold in zip(CLASS_NAMES, probabilities, ("0.400", "0.500", "0.600"), strict=True):
        assert f"{name.replace('&', '&amp;')}: {probability:.3f}, threshold {threshold}" in figure
    assert "Red: microtubules. Green: the protein. Blue: the nucleus. The contrast is what the model sees" in page
    assert "<td>s00-red.png</td><td>does not match file_pattern=" in page
    assert page.count("<br>Unlike the training images") == 70  # it was trained on noise
    assert not re.search(r"https?://", page)
    assert "Next page" not in page


@pytest.mark.parametrize("root", ["local_root", *OBJECT_STORES])
def test_pages_are_linked_and_published_together(root: str, version_dir: Path, request: pytest.FixtureRequest) -> None:
    out_uri = storage.join(request.getfixturevalue(root), "my results.csv")
    num_bad = MAX_BAD + 3
    ids = [f"<{number}> \u7d30\u80de & co" for number in range(2 * PER_PAGE + 1)] + [
        f"bad{number}" for number in range(num_bad)
    ]
    _write(version_dir, out_uri, ids, [""] * (2 * PER_PAGE + 1) + ["the <red> filter is missing"] * num_bad)
    pages = [storage.read_bytes(page_uri(out_uri, number)).decode() for number in (1, 2, 3)]
    assert not storage.exists(page_uri(out_uri, 4))
    assert [len(_sizes(page)) for page in pages] == [PER_PAGE, PER_PAGE, 1]
    assert set(_sizes(pages[0])) == {(200, 200)}  # the model's maps have a single pixel
    assert [re.findall('<a href="([^"]*)">', page)[:2] for page in pages] == [
        ["my%20results-2.html"] * 2,
        ["my%20results.html", "my%20results-3.html"],
        ["my%20results-2.html"] * 2,
    ]
    assert "&lt;0&gt; \u7d30\u80de &amp; co</h3>" in pages[0]
    assert "the <red>" not in pages[2]
    assert pages[2].count("the &lt;red&gt; filter is missing") == MAX_BAD
    assert "3 more are listed in my results.bad.csv." in pages[2]


def test_a_page_without_images_lists_bad_samples(version_dir: Path, tmp_path: Path) -> None:
    _write(version_dir, str(tmp_path / "p.csv"), ["caf\udce9"], ["its id is not in UTF-8: rename the file"])
    page = (tmp_path / "p.html").read_text()
    assert "No image could be used" in page
    assert "<td>caf\\udce9</td>" in page


def test_an_existing_page_is_not_overwritten(version_dir: Path, cells_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("another report")
    with pytest.raises(FileExistsError, match=r"p.html already exists"):
        predict(str(version_dir), str(cells_dir), str(tmp_path / "p.csv"), with_pages=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]
