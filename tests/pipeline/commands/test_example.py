import csv
import logging
from pathlib import Path

from tests.pipeline.commands.conftest import invoke


def test_writes_a_labelled_folder_once_and_shows_its_progress(tmp_path: Path) -> None:
    logger = logging.getLogger("components")
    before = logger.handlers[:], logger.level, logger.propagate
    folder = tmp_path / "my_images"
    done = invoke("example", folder, "--samples", "10")
    assert done.exit_code == 0, done.output
    assert "example | 10/10 samples, 100 %" in done.stdout
    assert done.stdout.endswith(f"10 samples are in {folder}.\n")
    with (folder / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(folder / f"{row['Id']}-{stain}.png").is_file() for row in rows for stain in ("tubulin", "DAPI")] == [True] * 20
    again = invoke("example", folder)
    assert (again.exit_code, again.stderr) == (1, f"{folder} already exists: give another name, or remove it\n")
    assert (logger.handlers[:], logger.level, logger.propagate) == before
