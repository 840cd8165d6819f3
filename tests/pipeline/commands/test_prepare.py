from pathlib import Path

from tests.components.images.tiffs import make_ome_tiffs
from tests.pipeline.commands.conftest import invoke

OPTIONS = ("--file-pattern", "{id}.ome.tif", "--filters", "red=Tub,green=Ab,blue=DAPI", "--intensity-range", "0:4095")


def test_prepare_reports_its_output(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"a": "0", "b": "16"})
    done = invoke("prepare", folder, tmp_path / "out", "--tiles", "2", *OPTIONS)
    assert f"8 samples are in {tmp_path / 'out'}, with their labels." in done.stdout
    assert (tmp_path / "out" / "train" / "b-3_green.png").is_file()


def test_prepare_refuses_a_folder_that_exists(tmp_path: Path) -> None:
    folder = make_ome_tiffs(tmp_path / "scans", {"a": "0"})
    refused = invoke("prepare", folder, folder, *OPTIONS)
    assert refused.exit_code == 1
    assert "already exists" in refused.output
