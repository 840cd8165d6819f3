from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.components.conftest import make_folder, make_pixels, make_png  # noqa: F401 (fixtures)
from tests.pipeline.commands.conftest import invoke


def test_the_sheet_replaces_an_older_one_and_left_out_samples_are_listed(
    make_folder: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_folder(tmp_path / "cells", {"a": "0", "b": "1"})
    (folder / "train" / "b_red.png").write_bytes(b"no image")
    (tmp_path / "sheet.png").write_bytes(b"an older one")
    monkeypatch.chdir(tmp_path)
    done = invoke("preview", "dir:cells", "--out", "sheet.png")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:3] == [
        f"{tmp_path}/cells/train.csv: 2 rows (UTF-8, separated by commas); ids in the column Id, labels in Target",
        f"{tmp_path}/sheet.png is written.",
        "A run would leave out 1 of 2 samples (all rows, and the images of 2 samples, were checked):",
    ]
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"


def test_invalid_options_are_refused(tmp_path: Path) -> None:
    refused = invoke("preview", "synthetic:28", "--filters", "red=a,green=b,blue=c", "--out", tmp_path / "sheet.png")
    assert (refused.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert refused.stderr.startswith("filters: not for synthetic sources. Leave it out, or give source=dir:<folder>")
