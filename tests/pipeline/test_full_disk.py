"""The whole pipeline on a disk that repeatedly fills up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.artifacts.manifest import Evaluation, Examples, Manifest, TrainedModel
from components.serving.inspection import verify_models
from pipeline.compiled import ROOT
from tests.small_disk import small_disk

_TOLD = re.compile(r"No space left on device: free some space there and run the same command again, which resumes: '(.*)'")
_KINDS: dict[str, type[Manifest]] = {"examples": Examples, "training": TrainedModel, "evaluation": Evaluation}


@pytest.mark.long
def test_every_step_names_a_full_disk_and_resumes_once_there_is_room(tmp_path: Path) -> None:
    """On a full disk each step ends in one error, publishes nothing incomplete, and resumes once there is room."""
    disk, failed = tmp_path / "disk", []
    disk.mkdir()
    with small_disk(disk, "1m") as grow:
        for size_mb in (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
            grow(f"{size_mb}m")
            done = _run(tmp_path, disk)
            _assert_what_is_published_is_whole(disk)
            if done.returncode == 0:
                break
            (where,) = {found for found in _TOLD.findall(done.stdout + done.stderr) if found}
            assert where.startswith(f"{disk}/"), where
            assert "Traceback" not in done.stdout + done.stderr
            failed.append(re.findall(r"step \d/5: (\w+)", done.stdout)[-1])
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"ingest", "train"} <= set(failed), failed
        assert verify_models(f"{disk}/serving", "hpa")[-1].text == "version 1 is the champion"


def _run(folder: Path, disk: Path) -> subprocess.CompletedProcess[str]:
    places = [f"data_root={disk}/data", f"serving_root={disk}/serving"]
    settings = ["source=synthetic:60", "image_size_px=75", "weights=none", "epochs=1", "backbone=densenet121", "split=random"]
    command = [sys.executable, "-m", "pipeline", "run", "--pipeline-root", str(folder / "outputs"), "blessing_min_gain=-1"]
    return subprocess.run([*command, *settings, *places], cwd=ROOT, capture_output=True, text=True, check=False)


def _assert_what_is_published_is_whole(disk: Path) -> None:
    for name, kind in _KINDS.items():
        for path in disk.glob(f"data/{name}/*/manifest.json"):
            found = kind.find(str(path.parent))
            assert found
            for file in found.files:
                found.read_file(file)
            assert not isinstance(found, Examples) or found.missing_shards() == []
    assert all(finding.is_well for finding in verify_models(f"{disk}/serving", "hpa"))
