"""The page in a real browser."""

import csv
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.browser import Tab, open_tab
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS
from tests.components.serving.server.conftest import Serving, promote_version

_PIXEL_SUM = (
    "((canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    "(document.querySelector('article:last-child canvas')).reduce((sum, level) => sum + level)"
)


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    """A browser."""
    with open_tab() as opened:
        yield opened


@pytest.fixture(scope="module")
def page_url(serving: Serving, version_with_maps_dir: Path) -> Iterator[str]:
    """The address of a server of a model with activation maps."""
    with serving(version_with_maps_dir) as address:
        yield address


@pytest.fixture(autouse=True)
def _check_errors_and_hosts(tab: Tab) -> Iterator[None]:
    yield
    assert not tab.errors
    assert [url for url in tab.urls if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []


def _png_files(cells_dir: Path, *ids: str) -> list[Path]:
    return [cells_dir / "train" / f"{sample_id}_{name}.png" for sample_id in ids for name in FILTERS]


def _status(text: str) -> str:
    return f"document.getElementById('status').textContent === '{text}'"


def test_dropped_files_of_any_format_are_predicted_and_a_bad_one_has_a_reason(
    tab: Tab, page_url: str, cells_dir: Path, tmp_path: Path
) -> None:
    planes = np.stack([imagecodecs.png_decode(path.read_bytes()) for path in _png_files(cells_dir, "s01")])
    tifffile.imwrite(tmp_path / "stack.ome.tif", planes, ome=True, metadata={"axes": "CYX", "Channel": {"Name": FILTERS}})
    for name, plane in zip(FILTERS, planes, strict=True):
        tifffile.imwrite(tmp_path / f"single_{name}.tif", plane)
    (tmp_path / "bad_red.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("hello")
    tab.open(page_url)
    tab.drop("#drop", [*_png_files(cells_dir, "s01"), *tmp_path.iterdir()])
    tab.wait_for(_status("4 samples processed by hpa, version 1"))
    assert tab.value("[...document.querySelectorAll('h2')].map((title) => title.textContent)") == [
        "bad",
        "s01",
        "single",
        "stack",
    ]
    assert "Cannot be used: the red filter is" in tab.value("document.querySelector('article .bad').textContent")
    assert "notes.txt belongs to no sample" in tab.value("document.getElementById('problems').textContent")
    shown = tab.value(
        "[...document.querySelectorAll('article')].slice(1).map((a) => a.querySelector('div:last-child').innerText)"
    )
    assert shown[0] == shown[1] == shown[2]
    assert all(name in shown[0] for name in CLASS_NAMES)


def test_every_sample_of_a_dropped_folder_is_shown(tab: Tab, page_url: str, cells_dir: Path) -> None:
    tab.open(page_url)
    tab.drop("#drop", [cells_dir / "train"])
    tab.wait_for(_status("70 samples processed by hpa, version 1"))
    assert tab.value("document.querySelectorAll('article canvas').length") == 70


def test_the_switches_for_channel_contrast_and_activation_map_change_the_picture(
    tab: Tab, page_url: str, cells_dir: Path
) -> None:
    tab.open(page_url)
    tab.choose("#files", _png_files(cells_dir, "s00"))
    tab.wait_for("document.querySelector('canvas')?.width === 32")
    sums = [tab.value(_PIXEL_SUM)]
    for change in (
        "document.querySelector('article input').click()",  # red off
        "[...document.querySelectorAll('article input')].at(-1).click()",  # stretched
        "((list) => { list.selectedIndex = 1; list.dispatchEvent(new Event('change', { bubbles: true })); })"
        "(document.querySelector('article select'))",
    ):
        tab.value(change)
        tab.wait_for(f"!{sums}.includes({_PIXEL_SUM})")
        sums.append(tab.value(_PIXEL_SUM))
    assert sums[1] < sums[0]


def test_csv_matches_the_page(tab: Tab, page_url: str, cells_dir: Path, tmp_path: Path) -> None:
    tab.open(page_url)
    tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.choose("#files", _png_files(cells_dir, "s00", "s01"))
    tab.wait_for("!document.getElementById('csv').hidden")
    shown = tab.value("document.querySelector('article .decisions').textContent")
    tab.value("document.getElementById('csv').click()")
    end_s = time.monotonic() + 60
    while not (path := tmp_path / "predictions.csv").exists():
        assert time.monotonic() < end_s
        time.sleep(0.05)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["Id"] for row in rows] == ["s00", "s01"]
    assert (rows[0]["Decisions"] or "No class reaches its threshold") == shown


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [390, 1400])
def test_page_fits_and_is_readable(tab: Tab, page_url: str, width_px: int, theme: str, tmp_path: Path, cells_dir: Path) -> None:
    long_name = f"{'a-long-name-' * 9}.bad"
    for path in _png_files(cells_dir, "s02"):
        shutil.copy(path, tmp_path / path.name.replace("s02", long_name))
    (tmp_path / f"{long_name}2_red.png").write_bytes(b"no image")
    tab.open(page_url, width_px, theme)
    tab.wait_for("document.getElementById('model').textContent === 'Model hpa, version 1'")
    tab.value("document.getElementById('examples').click()")
    tab.wait_for(_status("3 samples processed by hpa, version 1"))
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    tab.choose("#files", [*tmp_path.iterdir()])
    tab.wait_for(_status("2 samples processed by hpa, version 1"))
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    levels = "getComputedStyle(document.body).{}.match(/\\d+/g).slice(0, 3).map(Number)"
    ink, paper = (np.mean(tab.value(levels.format(name))) for name in ("color", "backgroundColor"))
    assert (paper > 200 and ink < 60) if theme == "light" else (paper < 60 and ink > 200)


def test_everything_is_reachable_by_keyboard(tab: Tab, page_url: str, cells_dir: Path) -> None:
    tab.open(page_url)
    tab.choose("#files", _png_files(cells_dir, "s00"))
    tab.wait_for("!document.getElementById('csv').hidden")
    reached = []
    for _ in range(20):
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(tab.value("document.activeElement.id || document.activeElement.tagName"))
    assert {"choose-files", "choose-folder", "examples", "csv", "INPUT", "SELECT", "A"} <= set(reached)


def test_new_champion_takes_over_during_a_session(
    tab: Tab, serving: Serving, version_with_maps_dir: Path, cells_dir: Path, tmp_path: Path
) -> None:
    for version in (1, 2):
        shutil.copytree(version_with_maps_dir, tmp_path / "hpa" / str(version))
    promote_version(tmp_path, 1)
    with serving(tmp_path / "hpa") as url:
        tab.open(url)
        tab.choose("#files", _png_files(cells_dir, "s00"))
        tab.wait_for(_status("1 sample processed by hpa, version 1"))
        promote_version(tmp_path, 2)
        tab.wait_for("fetch('page.json').then((answer) => answer.json()).then(({ version }) => version === '2')")
        tab.choose("#files", _png_files(cells_dir, "s00"))
        tab.wait_for(_status("1 sample processed by hpa, version 2"))
        assert tab.value("document.getElementById('model').textContent") == "Model hpa, version 2"
        tab.open(f"{url}/model-card")
        assert "hpa, version 2" in tab.value("document.body.innerText")
        assert tab.value("document.documentElement.scrollWidth <= innerWidth")
