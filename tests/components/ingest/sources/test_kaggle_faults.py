"""The ingest step from Kaggle to a local folder, with faults on the way."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components import storage
from components.artifacts.index import read_index
from components.artifacts.manifest import RawImages
from components.ingest.archive import remote, retry
from components.ingest.archive.remote import RangesRefusedError
from components.ingest.archive.retry import TransientError
from components.ingest.sources import kaggle_access
from tests.components.ingest.competition import (
    PADDING,
    RAW,
    IngestProcess,
    check_nothing_is_wrong,
    folder_files,
    run_step,
    signed_in,
    stored_files,
)
from tests.components.ingest.kaggle_server import Answer, Body, Exchange, KaggleServer
from tests.components.ingest.zip_files import make_zip
from tests.small_disk import small_disk

pytestmark = pytest.mark.usefixtures("quick_retries")

# The range requests before the first image: one byte, the tail, and the labels.
_NUM_OPENING = 3
_NUM_SAMPLES = 34  # whose images are three transfers
_BUSY = [Answer(429, "Too many requests"), Answer(503, "Try later"), Answer(503, body=b"<html>")] * 2
_RESET = [Answer(then="reset")] * 6
_STALL = [Answer(then="stall")] * 2
Act = Callable[[Body], Body]


@pytest.fixture
def cells(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    return make_folder(tmp_path / "cells", {f"s{number:02d}": str(number % 28) for number in range(_NUM_SAMPLES)}, side_px=64)


@pytest.fixture
def server(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    monkeypatch.setattr(kaggle_access, "TIMEOUT_S", 0.3)
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        server.archive.write_bytes(make_zip([*folder_files(cells), PADDING]))
        yield server


@pytest.fixture
def run(cells: Path, server: KaggleServer, tmp_path: Path) -> Callable[[], RawImages]:
    """Runs the step. Whatever is stored must be right, and complete if the step succeeds."""

    def run_it() -> RawImages:
        images = dict(folder_files(cells))
        try:
            version = run_step(str(tmp_path / "data"), tmp_path)
        finally:
            check_nothing_is_wrong(tmp_path / "data", images)
        stored = stored_files(tmp_path / "data" / RAW / "images")
        assert {f"train/{name}" for name in stored} == images.keys() - {"train.csv"}
        assert version.num_samples == _NUM_SAMPLES
        return version

    return run_it


def _answer_parts(server: KaggleServer, *answers: Answer) -> None:
    """Gives these responses once the archive's address has been found."""

    def change(_: Exchange, pieces: Body) -> Body:
        server.change_body = None
        server.archive_answers.extend(answers)
        return pieces

    server.change_body = change


def _disturb(server: KaggleServer, act: Act, first: int = 0, times: int = 6) -> None:
    """Disturbs the bodies of some responses to range requests."""
    numbers = itertools.count()

    def change(exchange: Exchange, pieces: Body) -> Body:
        if "Range" in exchange.headers and first <= next(numbers) < first + times:
            return act(pieces)
        return pieces

    server.change_body = change


def _reset(pieces: Body) -> Body:
    yield next(pieces)[:100]
    raise ConnectionResetError


def _truncate(pieces: Body) -> Body:
    yield next(pieces)[:-1]


def _slow(pieces: Body) -> Body:
    for piece in pieces:
        for start in range(0, len(piece), 4096):
            time.sleep(0.002)
            yield piece[start : start + 4096]


def _corrupt(pieces: Body) -> Body:
    piece = next(pieces)
    yield piece[:2000] + bytes([piece[2000] ^ 1]) + piece[2001:]
    yield from pieces


class TestTransient:
    """Transient faults are survived and logged."""

    @pytest.mark.parametrize("answers", [_BUSY, _RESET, _STALL], ids=["busy", "reset", "stall"])
    def test_faults_of_the_api_are_survived(
        self, server: KaggleServer, run: Callable[[], RawImages], capfd: pytest.CaptureFixture[str], answers: list[Answer]
    ) -> None:
        server.api_answers.extend(answers)
        run()
        assert not server.api_answers
        assert f"(attempt {len(answers) + 1} of 8)" in capfd.readouterr().out

    @pytest.mark.parametrize("answers", [_BUSY, _RESET, _STALL], ids=["busy", "reset", "stall"])
    def test_faults_of_the_archives_host_are_survived(
        self, server: KaggleServer, run: Callable[[], RawImages], answers: list[Answer]
    ) -> None:
        _answer_parts(server, *answers)
        run()
        assert not server.archive_answers

    @pytest.mark.parametrize("first", [0, _NUM_OPENING], ids=["opening", "images"])
    @pytest.mark.parametrize("act", [_reset, _truncate, _slow])
    def test_faults_within_responses_are_survived(
        self, server: KaggleServer, run: Callable[[], RawImages], act: Act, first: int
    ) -> None:
        _disturb(server, act, first)
        run()

    @pytest.mark.parametrize("first", [0, _NUM_OPENING], ids=["opening", "images"])
    def test_a_stalled_response_is_survived(self, server: KaggleServer, run: Callable[[], RawImages], first: int) -> None:
        def stall(pieces: Body) -> Body:
            yield next(pieces)[:-1]
            server.closing.wait(30)

        _disturb(server, stall, first, times=2)
        run()

    def test_corrupted_bytes_are_survived(
        self, server: KaggleServer, run: Callable[[], RawImages], capfd: pytest.CaptureFixture[str]
    ) -> None:
        _disturb(server, _corrupt, _NUM_OPENING, times=4)
        run()
        assert "is damaged: expected CRC-32" in capfd.readouterr().out


class TestAddress:
    def test_an_address_that_expires_midway_is_renewed(self, server: KaggleServer, run: Callable[[], RawImages]) -> None:
        def expire(pieces: Body) -> Body:
            server.expire_addresses()
            return _reset(pieces)

        _disturb(server, expire, _NUM_OPENING, times=1)
        run()
        assert len(server.api_exchanges) == 2
        assert [exchange.status for exchange in server.archive_exchanges].count(400) >= 1

    @pytest.mark.parametrize("expires", [False, True])
    def test_an_archive_that_changes_midway_ends_in_one_error(
        self, server: KaggleServer, run: Callable[[], RawImages], expires: bool
    ) -> None:
        def change(pieces: Body) -> Body:
            server.etag = '"another"'
            if expires:
                server.expire_addresses()
            return _reset(pieces)

        _disturb(server, change, _NUM_OPENING, times=1)
        with pytest.raises(ValueError, match=r'The archive changed while it was being read: run again\. .* ETag "another"'):
            run()
        run()


class TestRangesRefused:
    def test_the_archive_is_downloaded_first_and_this_is_logged(
        self, server: KaggleServer, run: Callable[[], RawImages], spool_dir: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        server.accepts_ranges = False
        run()
        assert "the server does not support range requests: downloading" in capfd.readouterr().out
        assert list(spool_dir.iterdir()) == []

    def test_a_refused_archive_is_not_kept(self, server: KaggleServer, run: Callable[[], RawImages], spool_dir: Path) -> None:
        server.accepts_ranges = False
        server.archive.write_bytes(server.archive.read_bytes()[:-100])
        with pytest.raises(ValueError, match="is not a ZIP archive, or is damaged"):
            run()
        assert list(spool_dir.iterdir()) == []

    def test_ranges_refused_midway_end_in_one_error_and_the_same_command_resumes(
        self, server: KaggleServer, run: Callable[[], RawImages], spool_dir: Path
    ) -> None:
        def refuse(pieces: Body) -> Body:
            server.accepts_ranges = False
            return _reset(pieces)

        _disturb(server, refuse, _NUM_OPENING, times=1)
        with pytest.raises(RangesRefusedError, match="the whole archive instead of the requested part: run again"):
            run()
        assert list(spool_dir.iterdir()) == []
        run()


class TestPersistent:
    """Persistent faults end in one error and leave nothing wrong. The same command resumes once they are over."""

    def test_corrupted_bytes_are_reported_with_the_members_name(
        self, server: KaggleServer, run: Callable[[], RawImages]
    ) -> None:
        good = server.archive.read_bytes()
        place = good.index(b"train/s20_green.png") + 1000
        server.archive.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ValueError, match=r"the member 'train/s20_green\.png' is damaged: expected CRC-32 \w{8}\. Rec"):
            run()
        server.archive.write_bytes(good)
        run()

    @pytest.mark.parametrize(
        ("answer", "message"),
        [(Answer(503), "server responds with status 503"), (Answer(then="reset"), "Connection reset by peer")],
    )
    def test_failures_of_the_host_are_reported(
        self, server: KaggleServer, run: Callable[[], RawImages], answer: Answer, message: str
    ) -> None:
        _answer_parts(server, *[answer] * 1000)
        with pytest.raises(TransientError, match=message):
            run()
        server.archive_answers.clear()
        run()

    def test_stalled_responses_are_reported(
        self, server: KaggleServer, run: Callable[[], RawImages], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stall(pieces: Body) -> Body:
            yield next(pieces)[:-1]
            server.closing.wait(30)

        _disturb(server, stall, _NUM_OPENING, times=1000)
        with monkeypatch.context() as patch:
            patch.setattr(retry, "TRIES", 2)
            patch.setattr(remote, "READ_TIMEOUT_S", 0.1)
            with pytest.raises(TransientError, match=r"archive.*: ReadTimeout"):
                run()
        server.change_body = None
        run()


class TestFullDisk:
    def test_a_limit_on_the_file_size_ends_in_one_error(
        self, run: Callable[[], RawImages], cells: Path, tmp_path: Path
    ) -> None:
        process = IngestProcess(str(tmp_path / "data"), tmp_path, max_file_bytes=3000)
        assert process.wait() == 1
        message = r"File too large: free some space there and run the same command again, which .*: '.*/images/s\d\d_\w+\.png'"
        assert re.search(message, process.output)
        assert stored_files(tmp_path / "data") == {}
        run()

    def test_a_full_disk_ends_in_one_error_and_the_run_resumes(
        self, run: Callable[[], RawImages], cells: Path, tmp_path: Path
    ) -> None:
        data_root = tmp_path / "data"
        data_root.mkdir()
        with small_disk(data_root, "256k") as grow:
            with pytest.raises(OSError, match=r"No space left on device: free some space there and run the same command"):
                run()
            assert stored_files(data_root)
            grow("16m")
            run()


class TestTakenName:
    """Files with other content are kept, and the new content gets its checksum into its name."""

    @staticmethod
    def _check(version: RawImages, cells: Path, data_root: Path) -> None:
        images = data_root / RAW / "images"
        assert (images / "s20_green.png").read_bytes() == b"other content"
        wanted = (cells / "train" / "s20_green.png").read_bytes()
        name = f"s20_green.{storage.crc32c(wanted)}.png"
        (sample,) = [sample for sample in read_index(version.index_uri) if sample.sample_id == "s20"]
        assert (sample.files["green"].name, (images / name).read_bytes()) == (name, wanted)

    @pytest.mark.usefixtures("server")
    def test_a_name_taken_before_the_step_runs_is_kept(self, cells: Path, tmp_path: Path) -> None:
        taken = tmp_path / "data" / RAW / "images" / "s20_green.png"
        taken.parent.mkdir(parents=True)
        taken.write_bytes(b"other content")
        version = run_step(str(tmp_path / "data"), tmp_path)
        self._check(version, cells, tmp_path / "data")
        assert run_step(str(tmp_path / "data"), tmp_path) == version

    def test_a_name_taken_while_the_step_runs_is_kept(self, server: KaggleServer, cells: Path, tmp_path: Path) -> None:
        taken = tmp_path / "data" / RAW / "images" / "s20_green.png"

        def take(pieces: Body) -> Body:
            taken.parent.mkdir(parents=True, exist_ok=True)
            if not taken.exists():
                taken.write_bytes(b"other content")
            return pieces

        _disturb(server, take, _NUM_OPENING)
        self._check(run_step(str(tmp_path / "data"), tmp_path), cells, tmp_path / "data")
