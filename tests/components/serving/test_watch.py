import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.artifacts.image_names import COMPETITION_NAMES
from components.serving.champion import Champion, crown, find_champion
from components.serving.watch.action import Action, Condition
from components.serving.watch.fields import Fields
from components.serving.watch.record import open_record
from components.serving.watch.watching import Watch, watch
from pipeline.compiled import ROOT
from tests.components.serving.predict.conftest import CLASS_NAMES, FILTERS, cells_dir, version_dir  # noqa: F401 (fixtures)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
_HEADER = ",".join(["Id", "Decisions", *CLASS_NAMES]) + "\n"


def _ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[0] for row in csv.reader(file)][1:]


def _answers(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]


def _command(folder: Path, version: Path, out: Path, *more: str) -> list[str]:
    given = ["--model", str(version), "--out", str(out), "--settle", "0.2", *more]
    return [sys.executable, "-m", "pipeline", "watch", str(folder), *given]


def _start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL)  # type: ignore[arg-type]


def _wait_for(holds: Callable[[], bool], timeout_s: float = 120) -> None:
    until_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.05)


def _has_ids(out: Path, count: int) -> bool:
    return out.exists() and len(_ids(out)) >= count


def _copy(cells: Path, folder: Path, *ids: str, filters: list[str] = FILTERS) -> None:
    folder.mkdir(exist_ok=True)
    for sample_id in ids:
        for name in filters:
            shutil.copyfile(cells / "train" / f"{sample_id}_{name}.png", folder / f"{sample_id}_{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "microscope"
    made.mkdir()
    return made


def test_a_field_is_ready_when_its_stains_are_there_and_have_settled(cells_dir: Path, folder: Path) -> None:  # noqa: F811
    fields = Fields(str(folder), COMPETITION_NAMES, FILTERS, settle_s=2, give_up_s=60)

    def ready(now_s: float) -> list[str]:
        fields.update((), now_s)
        return [sample.sample_id for sample in fields.ready(now_s)]

    _copy(cells_dir, folder, "s00", filters=["red", "green"])
    (folder / ".s01_red.png").write_bytes(b"hidden")
    (folder / "~s02_red.png").write_bytes(b"temporary")
    assert (ready(0), ready(10)) == ([], [])
    whole = (cells_dir / "train" / "s00_blue.png").read_bytes()
    (folder / "s00_blue.png").write_bytes(whole[:200])
    assert ready(11) == []
    (folder / "s00_blue.png").write_bytes(whole)
    assert (ready(12.5), ready(14), ready(14.6)) == ([], [], ["s00"])
    assert list(fields.pending) == ["s00"]
    fields.pending["s00"].was_tried = True  # it did not decode: it is tried again once it has changed, or for the last time
    assert (ready(20), ready(73)) == ([], ["s00"])
    (folder / "s00_blue.png").write_bytes(whole + b"1")
    assert (ready(80), ready(83)) == ([], ["s00"])
    fields.update({"s00"}, 84)
    assert fields.pending == {}


def test_good_and_bad_fields_are_told_apart_and_the_action_gets_what_the_condition_holds_for(
    version_dir: Path,  # noqa: F811
    cells_dir: Path,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    _copy(cells_dir, folder, *(f"s{number:02d}" for number in range(40)))
    (folder / "s01_red.png").write_bytes((folder / "s01_red.png").read_bytes()[:500])
    (folder / "s02_red.png").unlink()
    out, acted = tmp_path / "out" / "p.csv", tmp_path / "acted"
    script = f"import os, sys; open({str(acted)!r}, 'a').write(os.environ['HPA_FIELD_ID'] + sys.stdin.read() + '\\n')"
    action = Action(Condition.parse("Rods & rings >= 0.6"), (sys.executable, "-c", script))
    watch(Watch(str(folder), str(version_dir), out, settle_s=0.1, give_up_s=1, idle_s=0, action=action))
    good = {f"s{number:02d}" for number in range(40)} - {"s01", "s02"}
    assert sorted(_ids(out)) == sorted(good)
    assert set(_ids(out.with_name("p.bad.csv"))) == {"s01", "s02"}
    answers = _answers(out)
    assert {answer["id"] for answer in answers} == good
    assert {answer["version"] for answer in answers} == {"1"}
    chosen = {str(answer["id"]) for answer in answers if answer["probabilities"]["Rods & rings"] >= 0.6}  # type: ignore[index]
    assert 0 < len(chosen) < 38
    lines = acted.read_text().splitlines()
    assert {line.partition("{")[0] for line in lines} == chosen
    assert json.loads(lines[0][3:]) in answers
    before = out.read_bytes()
    watch(Watch(str(folder), str(version_dir), out, settle_s=0.1, idle_s=0))
    assert out.read_bytes() == before


def test_every_field_has_one_row_though_the_watch_is_killed_again_and_again(
    version_dir: Path,  # noqa: F811
    cells_dir: Path,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    ids, out = [f"s{number:02d}" for number in range(70)], tmp_path / "p.csv"
    # An action for each field leaves the time to be killed between the lines and the rows.
    slow = ["--run", f"{sys.executable} -S -c 'import time; time.sleep(0.02)'"]
    for number in range(3):
        _copy(cells_dir, folder, *ids[number * 20 : number * 20 + 20])
        process = _start(folder, version_dir, out, *slow)
        lines = out.with_suffix(".jsonl")
        size = lines.stat().st_size if lines.exists() else 0
        _wait_for(lambda size=size, lines=lines: lines.exists() and lines.stat().st_size > size)  # type: ignore[misc]
        time.sleep(0.2 * number)
        process.kill()
        process.wait()
    with out.open("a") as file:
        file.write("s69,torn")
    _copy(cells_dir, folder, *ids)
    assert subprocess.run(_command(folder, version_dir, out, "--once"), cwd=ROOT, check=False).returncode == 0
    assert sorted(_ids(out)) == ids
    assert out.read_text().startswith(_HEADER)
    assert {answer["id"] for answer in _answers(out)} == set(ids)


@pytest.fixture
def champion_dir(version_dir: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A model of two versions, of which the first is the champion."""
    for number in ("1", "2"):
        shutil.copytree(version_dir, tmp_path / "serving" / "hpa" / number)
    crown(Champion(1, "", "f", "e", generation=""), str(tmp_path / "serving"), "hpa")
    return tmp_path / "serving" / "hpa"


@pytest.fixture
def running(champion_dir: Path, cells_dir: Path, folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:  # noqa: F811
    """A watch from now on, of a folder with the field s00."""
    _copy(cells_dir, folder, "s00")
    process = _start(folder, champion_dir, tmp_path / "p.csv", "--from", "now")
    _wait_for((tmp_path / "p.before.csv").exists)
    yield process
    process.kill()
    process.wait()


def test_from_now_on_it_follows_the_champion_and_ends_after_sigterm(
    running: subprocess.Popen[bytes],
    champion_dir: Path,
    cells_dir: Path,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "p.csv"
    _copy(cells_dir, folder, "s01")
    _wait_for(lambda: _has_ids(out, 1))
    with pytest.raises(ValueError, match="another watch writes to this file"):
        watch(Watch(str(folder), str(champion_dir), out, idle_s=0))
    first = find_champion(str(champion_dir.parent), "hpa")
    assert first
    crown(Champion(2, "", "f", "e", generation=first.generation), str(champion_dir.parent), "hpa")
    time.sleep(1)
    _copy(cells_dir, folder, "s02")
    _wait_for(lambda: _has_ids(out, 2))
    os.kill(running.pid, signal.SIGTERM)
    assert running.wait(30) == 0
    assert [(answer["id"], answer["version"]) for answer in _answers(out)] == [("s01", "1"), ("s02", "2")]
    assert _ids(out) == ["s01", "s02"]


def test_a_torn_line_is_cut_off_and_other_classes_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    out.write_text(f"{_HEADER}a,,0.1,0.2,0.3\nb,,0.1")
    with open_record(out, CLASS_NAMES) as record:
        assert record.done == {"a"}
    assert out.read_text() == f"{_HEADER}a,,0.1,0.2,0.3\n"
    with pytest.raises(ValueError, match="expected the columns Id,Decisions,Other"), open_record(out, ["Other"]):
        pass


def test_an_action_that_fails_is_tried_again_and_its_failure_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.serving.watch.action._PAUSES_S", (0.0,))
    script = f"open({str(tmp_path / 'tries')!r}, 'a').write('x'); raise SystemExit(3)"
    problem = Action(Condition(), (sys.executable, "-c", script), "http://127.0.0.1:9").act({"id": "a"})
    assert "exit status 3" in problem
    assert "--post cannot be reached" in problem
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.parametrize("text", ["Nucleoli", "> 0.5", "Nucleoli > high", "Nucleoli == 0.5"])
def test_a_condition_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a class, a comparison and a number"):
        Condition.parse(text)


def test_a_class_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of Nucleoli, Cytosol, Rods & rings. Received: Rods"):
        Condition.parse("Rods > 0.5").check(CLASS_NAMES)
