"""Bursts of images faster than a watch can predict, and kills."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.components.serving.predict.conftest import FILTERS
from tests.components.serving.watch.conftest import AnswerServer, read_answers, read_ids, started_watch, wait_for

# Decoded, 10,000 fields of 128 pixels would take 490 MB.
_MAX_GROWTH_MB = 150


def _link(cells: Path, folder: Path, ids: list[str]) -> None:
    for number, sample_id in enumerate(ids):
        for name in FILTERS:
            os.link(cells / "train" / f"s{number % 8}_{name}.png", folder / f"{sample_id}_{name}.png")


def _peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The peak memory of a process that succeeded."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


@pytest.mark.parametrize("num_fields", [100, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_burst_with_kills_loses_no_field(
    large_version_dir: Path,
    large_cells_dir: Path,
    folder: Path,
    tmp_path: Path,
    server: AnswerServer,
    record_property: Callable[[str, object], None],
    num_fields: int,
) -> None:
    """Of a burst of images, `watch` predicts each field exactly once, in bounded memory, although it is killed twice."""
    ids, out = [f"f{number:05d}" for number in range(num_fields)], tmp_path / "p.csv"
    _link(large_cells_dir, folder, ids[:1])
    with started_watch(folder, large_version_dir, out, "--once") as process:
        usual_mb = _peak_mb(process)
    server.delay_s = 0.002  # so that most kills come between an action and its row
    for part in (1, 2):
        with started_watch(folder, large_version_dir, out, "--post", server.url):
            if part == 1:
                _link(large_cells_dir, folder, ids[1:])
            wait_for(lambda part=part: len(server.received) > part * num_fields / 3, timeout_s=300)  # type: ignore[misc]
        assert 0 < len(read_ids(out)) < num_fields
    with started_watch(folder, large_version_dir, out, "--post", server.url, "--once") as process:
        peak_mb = _peak_mb(process)
    assert sorted(read_ids(out)) == ids
    assert {answer["id"] for answer in read_answers(out)} == set(ids)
    assert {answer["id"] for answer in server.received} == set(ids[1:])
    assert read_ids(tmp_path / "p.bad.csv") == read_ids(tmp_path / "p.failed.csv") == []
    assert peak_mb < usual_mb + _MAX_GROWTH_MB
    record_property("figure", f"{num_fields:,} fields with a peak of {peak_mb:.0f} MB, one field with {usual_mb:.0f} MB")
