import logging
from pathlib import Path

import pytest

from components.artifacts.image_names import COMPETITION_NAMES, ImageNames
from components.serving.watch.fields import Fields
from tests.components.serving.predict.conftest import FILTERS
from tests.components.serving.watch.conftest import copy_cells


def _ready(fields: Fields, now_s: float) -> list[str]:
    fields.update((), now_s)
    return [sample.sample_id for sample in fields.ready(now_s)]


def test_a_field_is_ready_when_all_stains_have_settled(cells_dir: Path, folder: Path) -> None:
    fields = Fields(str(folder), COMPETITION_NAMES, FILTERS, settle_s=2, give_up_s=60)
    copy_cells(cells_dir, folder, "s00", filters=["red", "green"])
    assert (_ready(fields, 0), _ready(fields, 10)) == ([], [])
    whole = (cells_dir / "train" / "s00_blue.png").read_bytes()
    (folder / "s00_blue.png").write_bytes(whole[:200])
    assert _ready(fields, 11) == []
    (folder / "s00_blue.png").write_bytes(whole)
    assert (_ready(fields, 12.5), _ready(fields, 14), _ready(fields, 14.6)) == ([], [], ["s00"])
    fields.update({"s00"}, 15)
    assert fields.pending == {}


def test_an_undecodable_field_is_retried_after_a_change_and_at_the_end(cells_dir: Path, folder: Path) -> None:
    fields = Fields(str(folder), COMPETITION_NAMES, FILTERS, settle_s=2, give_up_s=60)
    copy_cells(cells_dir, folder, "s00")
    fields.update((), 0)
    fields.pending["s00"].was_tried = True
    assert (_ready(fields, 3), _ready(fields, 59), _ready(fields, 61)) == ([], [], ["s00"])
    with (folder / "s00_blue.png").open("ab") as file:
        file.write(b"more")
    assert (_ready(fields, 62), _ready(fields, 65)) == ([], ["s00"])


@pytest.mark.parametrize("name", [".s_red.tif", "~s_red.tif", "s_red.tmp.tif", "s_red.PARTIAL", ".hidden/s_red.tif"])
def test_hidden_and_temporary_files_are_ignored(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    fields = Fields(str(folder), ImageNames("{id}_*.tif", "red=0,green=1,blue=2"), FILTERS, settle_s=2, give_up_s=60)
    assert (_ready(fields, 0), list(fields.pending)) == ([], [])


def test_files_of_other_stains_and_subfolders_count(folder: Path) -> None:
    (folder / "plate.part.1").mkdir()
    (folder / "well" / "A1").mkdir(parents=True)
    for name in ("DNA", "protein"):
        (folder / "well" / "A1" / f"f0_{name}.tif").touch()
    names = ImageNames("{id}_{filter}.tif", stains=("DNA", "protein"))
    fields = Fields(str(folder), names, ["DNA", "protein"], settle_s=2, give_up_s=60)
    assert (_ready(fields, 0), _ready(fields, 2)) == ([], ["well/A1/f0"])


def test_images_with_other_names_are_reported_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a_violet.png").touch()
    fields = Fields(str(folder), COMPETITION_NAMES, FILTERS, settle_s=2, give_up_s=60)
    with caplog.at_level(logging.WARNING):
        assert (_ready(fields, 0), _ready(fields, 9)) == ([], [])
    assert [record.message for record in caplog.records] == [
        "images that do not match --file-pattern or --filters are ignored, such as a_violet.png"
    ]
