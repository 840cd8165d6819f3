"""Watches whose store fails, or whose disk is full."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components import storage
from pipeline.compiled import ROOT
from tests.components.serving.server.conftest import promote_version
from tests.components.serving.watch.conftest import copy_cells, read_answers, read_ids, started_watch, wait_for
from tests.object_stores import Faults, answer, reset, reset_after_it_is_done, silent, truncate
from tests.small_disk import small_disk

_IDS = [f"s{number:02d}" for number in range(70)]


@pytest.mark.long
def test_a_watch_on_a_full_disk_names_it_and_continues_once_there_is_room(
    version_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """On a full disk `watch` ends in one error that names the file; once there is room, it gives each field exactly one row."""
    copy_cells(cells_dir, folder, *_IDS)
    disk, messages = tmp_path / "disk", []
    disk.mkdir()
    command = [sys.executable, "-m", "pipeline", "watch", folder, "--model", version_dir, "--out", disk / "p.csv"]
    with small_disk(disk, "4k") as grow:
        for size_kb in range(8, 128, 4):
            grow(f"{size_kb}k")
            ended = subprocess.run(
                [*command, "--settle", "0.1", "--once"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if ended.returncode == 0:
                break
            messages.append(ended.stderr.strip().splitlines()[-1])
            assert "Traceback" not in ended.stderr
        assert ended.returncode == 0, ended.stderr
        assert sorted(read_ids(disk / "p.csv")) == _IDS
        assert {answer["id"] for answer in read_answers(disk / "p.csv")} == set(_IDS)
        assert read_ids(disk / "p.bad.csv") == read_ids(disk / "p.failed.csv") == []
    assert len(messages) > 3
    expected = f"No space left on device: free some space there and run the same command again, which resumes: '{disk}/p"
    assert [message for message in messages if expected not in message] == []
    record_property("figure", f"{len(messages)} full disks")


@pytest.mark.long
@pytest.mark.object_store
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # see the fixture `faults`
def test_a_watch_survives_faults_of_its_store_and_kills(
    remote_root: str, faults: Faults, version_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path, temporary: Path
) -> None:
    """`watch` gives each field exactly one row, although the model's store loses answers or is silent, and after a kill."""
    for version in (1, 2):
        storage.create_tree(version_dir, f"{remote_root}/hpa/{version}")
    promote_version(remote_root, 1)
    out = tmp_path / "p.csv"
    ids = iter(_IDS)

    def predict_next(num_fields: int, timeout_s: float = 120) -> str:
        """Adds fields, waits until they are predicted, and returns the version that predicted the last one."""
        added = list(itertools.islice(ids, num_fields))
        copy_cells(cells_dir, folder, *added)
        wait_for(lambda: set(added) <= set(read_ids(out)), timeout_s)
        return str(read_answers(out)[-1]["version"])

    lost = [reset_after_it_is_done, reset, truncate, answer(503), lambda _: False]
    faults.planned = list(itertools.islice(itertools.cycle(lost), 100))
    with started_watch(folder, f"{remote_root}/hpa", out):
        assert predict_next(10, timeout_s=600) == "1"  # it waits longer after each lost answer
        assert len(faults.planned) < 90
        faults.planned = [silent] * 1000
        time.sleep(3)  # so that it looks for the champion
        assert predict_next(10, timeout_s=20) == "1"
        faults.planned = []
        promote_version(remote_root, 2)
        # A request to a silent store is given up after a minute.
        wait_for(lambda: time.sleep(4) or predict_next(1) == "2", timeout_s=150)
    with started_watch(folder, f"{remote_root}/hpa", out, "--once") as process:
        assert process.wait(120) == 0
    assert sorted(read_ids(out)) == sorted(path.name.removesuffix("_red.png") for path in folder.glob("*_red.png"))
