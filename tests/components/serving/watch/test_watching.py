import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.artifacts.image_names import ImageNames
from components.serving.champion import Champion, find_champion, promote
from components.serving.watch.action import Action, Condition
from components.serving.watch.watching import Watch, watch
from tests.components.serving.watch.conftest import AnswerServer, copy_cells, read_answers, read_ids, started_watch, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def test_good_and_bad_fields_are_separated_and_the_action_gets_matching_ones(
    version_dir: Path,
    cells_dir: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    copy_cells(cells_dir, folder, *(f"s{number:02d}" for number in range(40)))
    (folder / "s01_red.png").write_bytes((folder / "s01_red.png").read_bytes()[:500])
    (folder / "s02_red.png").unlink()
    out, acted = tmp_path / "out" / "p.csv", tmp_path / "acted"
    script = f"import os, sys; open({str(acted)!r}, 'a').write(os.environ['HPA_FIELD_ID'] + sys.stdin.read() + '\\n')"
    action = Action(Condition.parse("Rods & rings >= 0.6"), (sys.executable, "-c", script))
    watch(Watch(str(folder), str(version_dir), out, settle_s=0.1, give_up_s=1, idle_s=0, action=action))
    good = {f"s{number:02d}" for number in range(40)} - {"s01", "s02"}
    assert sorted(read_ids(out)) == sorted(good)
    assert set(read_ids(out.with_name("p.bad.csv"))) == {"s01", "s02"}
    answers = read_answers(out)
    assert {answer["id"] for answer in answers} == good
    assert {answer["version"] for answer in answers} == {"1"}
    chosen = {answer["id"] for answer in answers if answer["probabilities"]["Rods & rings"] >= 0.6}
    assert 0 < len(chosen) < 38
    lines = acted.read_text().splitlines()
    assert {line.partition("{")[0] for line in lines} == chosen
    assert json.loads(lines[0][3:]) in answers
    before = out.read_bytes()
    watch(Watch(str(folder), str(version_dir), out, settle_s=0.1, idle_s=0))
    assert out.read_bytes() == before


def test_images_unlike_the_training_images_are_reported(
    version_with_maps_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy_cells(cells_dir, folder, *(f"s{number:02d}" for number in range(20)))
    watch(Watch(str(folder), str(version_with_maps_dir), tmp_path / "p.csv", settle_s=0.1, idle_s=0))
    answers = read_answers(tmp_path / "p.csv")
    assert [answer["is_unlike_training"] for answer in answers] == [True] * 20  # it was trained on noise
    assert "20 of 20 samples, 100.0%; usual is 1%" in caplog.text


@pytest.fixture
def champion_dir(version_dir: Path, tmp_path: Path) -> Path:
    """A model with two versions, the first of which is the champion."""
    for number in ("1", "2"):
        shutil.copytree(version_dir, tmp_path / "serving" / "hpa" / number)
    promote(Champion(1, "", "f", "e", generation=""), str(tmp_path / "serving"), "hpa")
    return tmp_path / "serving" / "hpa"


@pytest.fixture
def running(champion_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A watch with `--from now` on a folder that already has the field s00."""
    copy_cells(cells_dir, folder, "s00")
    with started_watch(folder, champion_dir, tmp_path / "p.csv", "--from", "now") as process:
        wait_for((tmp_path / "p.before.csv").exists)
        yield process


def test_a_watch_from_now_skips_earlier_fields_follows_the_champion_and_ends_after_sigterm(
    running: subprocess.Popen[bytes],
    champion_dir: Path,
    cells_dir: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "p.csv"
    copy_cells(cells_dir, folder, "s01")
    wait_for(lambda: len(read_ids(out)) == 1)
    with pytest.raises(ValueError, match="another watch writes to this file"):
        watch(Watch(str(folder), str(champion_dir), out, idle_s=0))
    first = find_champion(str(champion_dir.parent), "hpa")
    assert first
    promote(Champion(2, "", "f", "e", generation=first.generation), str(champion_dir.parent), "hpa")
    time.sleep(2)  # longer than between two checks for a new champion
    copy_cells(cells_dir, folder, "s02")
    wait_for(lambda: len(read_ids(out)) == 2)
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(30) == 0
    assert [(answer["id"], answer["version"]) for answer in read_answers(out)] == [("s01", "1"), ("s02", "2")]
    assert read_ids(out) == ["s01", "s02"]


def test_a_failed_action_is_listed_and_the_watch_continues(
    version_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.serving.watch.action._PAUSES_S", ())
    copy_cells(cells_dir, folder, "s00", "s01")
    server.statuses = [500]
    watch(Watch(str(folder), str(version_dir), tmp_path / "p.csv", settle_s=0.1, idle_s=0, action=Action(url=server.url)))
    assert (tmp_path / "p.failed.csv").read_text() == "Id,Reason\ns00,--post was answered with status 500\n"
    assert read_ids(tmp_path / "p.csv") == [answer["id"] for answer in server.received] == ["s00", "s01"]


def test_stains_other_than_the_models_are_refused(version_dir: Path, folder: Path, tmp_path: Path) -> None:
    names = ImageNames(filters="DNA=DAPI,protein=GFP")
    with pytest.raises(ValueError, match="filters"):
        watch(Watch(str(folder), str(version_dir), tmp_path / "p.csv", names, idle_s=0))


def test_ome_zarr_is_refused_as_its_folders_do_not_show_when_they_are_complete(
    version_dir: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"run predict once all are written\. Received: file_pattern=\{id\}\.ome\.zarr"):
        watch(Watch(str(folder), str(version_dir), tmp_path / "p.csv", ImageNames("{id}.ome.zarr"), idle_s=0))
