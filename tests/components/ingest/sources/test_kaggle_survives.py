"""The ingest step from Kaggle to a local folder: repeated and killed runs."""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from components.artifacts.index import read_index
from components.artifacts.manifest import RawImages
from tests.components.ingest.competition import (
    PADDING,
    RAW,
    IngestProcess,
    asked_for,
    check_nothing_is_wrong,
    folder_files,
    is_unfinished,
    run_step,
    stored_files,
    stored_times,
)
from tests.components.ingest.kaggle_server import Body, Exchange, KaggleServer
from tests.components.ingest.zip_files import make_zip

MakeFolder = Callable[..., Path]


@pytest.fixture
def cells(tmp_path: Path, make_folder: MakeFolder) -> Path:
    """Samples whose images are three transfers."""
    return make_folder(tmp_path / "cells", {f"s{number:02d}": str(number % 28) for number in range(48)})


def _ingest(data_root: Path) -> RawImages:
    return run_step(str(data_root), data_root.parent)


class TestAgain:
    def test_an_unchanged_archive_is_not_transferred(self, server: KaggleServer, tmp_path: Path) -> None:
        first = _ingest(tmp_path / "data")
        before, num_before = stored_files(tmp_path / "data"), len(server.exchanges)
        server.etag = '"the same archive, uploaded again"'
        assert _ingest(tmp_path / "data") == first
        again = server.exchanges[num_before:]
        assert len([exchange for exchange in again if not exchange.is_archive]) == 1
        assert asked_for(server.archive, again) == {"train.csv", PADDING[0]}  # and the directory after it
        assert stored_files(tmp_path / "data") == before

    def test_only_new_samples_are_transferred(
        self, server: KaggleServer, cells: Path, make_folder: MakeFolder, tmp_path: Path
    ) -> None:
        first = _ingest(tmp_path / "data")
        times, num_before = stored_times(tmp_path / "data"), len(server.exchanges)
        new = make_folder(tmp_path / "new", {"a": "0", "z": "1 2"}) / "train"
        files = [*folder_files(cells), *((f"train/{path.name}", path.read_bytes()) for path in new.iterdir()), PADDING]
        rows = (cells / "train.csv").read_bytes() + b"a,0\nz,1 2\n"
        server.archive.write_bytes(make_zip([("train.csv", rows), *(file for file in files if file[0] != "train.csv")]))
        second = _ingest(tmp_path / "data")
        asked = asked_for(server.archive, server.exchanges[num_before:])
        assert asked == {"train.csv", PADDING[0], *(f"train/{path.name}" for path in new.iterdir())}
        assert (first.num_samples, second.num_samples, second.version) == (48, 50, 1)
        assert [sample.sample_id for sample in read_index(second.index_uri) if sample.batch == 1] == ["a", "z"]
        after = stored_times(tmp_path / "data")
        assert {name: after[name] for name in times} == times


class _Killer:
    """Kills a process once a given number of bytes of the requested ranges were sent."""

    def __init__(self) -> None:
        self.process: IngestProcess | None = None
        self.left_bytes = 0

    def __call__(self, exchange: Exchange, pieces: Body) -> Body:
        return self._slowly(pieces) if "Range" in exchange.headers else pieces

    def _slowly(self, pieces: Body) -> Body:
        for piece in pieces:
            for start in range(0, len(piece), 8192):
                time.sleep(0.002)  # so that an image is stored while the next one is transferred
                yield piece[start : start + 8192]
                self.left_bytes -= 8192
                if self.left_bytes < 0 and self.process:
                    self.process.kill()


class TestKilled:
    """Killed again and again at seeded random moments, and then left alone."""

    def test_a_run_killed_while_images_are_transferred_resumes(self, server: KaggleServer, cells: Path, tmp_path: Path) -> None:
        chance, killer = random.Random(4), _Killer()

        def run() -> int | None:
            server.change_body = killer
            killer.left_bytes = chance.randrange(server.archive.stat().st_size // 6)
            killer.process = IngestProcess(str(tmp_path / "killed"), tmp_path)
            code = killer.process.wait()
            server.change_body = killer.process = None
            return code

        num_stored = self._kill_and_check(server, cells, tmp_path, [run] * 12)
        assert 0 < num_stored[-1] < len(list((cells / "train").iterdir()))

    def test_a_run_killed_while_files_are_written_resumes(self, server: KaggleServer, cells: Path, tmp_path: Path) -> None:
        """At every moment, with so few images that the moments around the index are included."""
        few = [(name, data) for name, data in folder_files(cells) if "/" not in name or name < "train/s05"]
        server.archive.write_bytes(make_zip([*few, PADDING]))
        runs = [lambda at=at: IngestProcess(str(tmp_path / "killed"), tmp_path, die_at=at).wait() for at in range(1, 90)]
        num_stored = self._kill_and_check(server, cells, tmp_path, runs)
        assert num_stored[-1] == len(few) - 1

    def test_a_killed_run_leaves_nothing_unfinished(self, server: KaggleServer, cells: Path, tmp_path: Path) -> None:
        few = [(name, data) for name, data in folder_files(cells) if "/" not in name or name < "train/s01"]
        server.archive.write_bytes(make_zip([*few, PADDING]))
        moments = itertools.chain(range(1, 100), [0])
        while IngestProcess(str(tmp_path / "killed"), tmp_path, die_at=next(moments)).wait() != 0:
            pass
        assert IngestProcess(str(tmp_path / "killed"), tmp_path).wait() == 0
        assert not [name for name, _ in folder_files(tmp_path / "killed") if is_unfinished(name)]

    def _kill_and_check(
        self, server: KaggleServer, cells: Path, folder: Path, runs: Sequence[Callable[[], int | None]]
    ) -> list[int]:
        """Runs until one survives, and checks the files after each. Returns the number of images that each left."""
        data_root = folder / "killed"
        images = dict(folder_files(cells))
        times: dict[str, int] = {}
        num_stored = []
        for run in runs:
            num_before = len(server.exchanges)
            if run() == 0:
                break
            check_nothing_is_wrong(data_root, images)
            asked = asked_for(server.archive, server.exchanges[num_before:])
            assert asked.isdisjoint(f"train/{Path(name).name}" for name in times)  # the files from before
            times = stored_times(data_root) | times
            num_stored.append(sum(name.startswith(f"{RAW}/images/") for name in times))
        assert len(num_stored) >= 10
        assert _ingest(data_root).num_bytes == _ingest(folder / "undisturbed").num_bytes
        assert stored_files(data_root) == stored_files(folder / "undisturbed")
        after = stored_times(data_root)
        assert {name: after[name] for name in times} == times
        return num_stored
