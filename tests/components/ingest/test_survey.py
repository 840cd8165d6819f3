import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.ingest.archive import retry
from components.ingest.survey import Survey, main, survey
from components.runtime.exit_status import UNKNOWN, WRONG
from tests.components.ingest.competition import PADDING, asked_for, folder_files, signed_in
from tests.components.ingest.kaggle_server import COMPETITION, Answer, KaggleServer
from tests.components.ingest.zip_files import make_zip

MakeFolder = Callable[..., Path]


@pytest.fixture
def cells(tmp_path: Path, make_folder: MakeFolder) -> Path:
    """Two labelled samples, and one of the test set."""
    folder: Path = make_folder(tmp_path / "cells", {"a": "16 0", "b": "1"})
    other: Path = make_folder(tmp_path / "other", {"t": "0"})
    (other / "train").rename(folder / "test")
    return folder


@pytest.fixture
def server(tmp_path: Path, cells: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    with signed_in(tmp_path / "archive.zip", monkeypatch) as server:
        server.archive.write_bytes(make_zip([*folder_files(cells), PADDING]))
        yield server


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["survey", *arguments])
    return main()


def test_a_competition_is_known_by_its_archives_directory(server: KaggleServer) -> None:
    num_bytes = server.archive.stat().st_size
    assert survey(f"kaggle:{COMPETITION}") == Survey(2, num_bytes)
    assert survey(f"kaggle:{COMPETITION}", include_test=True) == Survey(3, num_bytes)
    server.close()
    assert not [name for name in asked_for(server.archive, server.archive_exchanges) if name.endswith(".png")]


def test_an_archive_that_cannot_be_read_in_parts_is_not_downloaded(server: KaggleServer) -> None:
    server.accepts_ranges = False
    assert survey(f"kaggle:{COMPETITION}") == Survey(None, server.archive.stat().st_size)


def test_a_folder_and_drawn_samples_are_counted(cells: Path) -> None:
    num_bytes = sum(path.stat().st_size for path in (cells / "train").iterdir())
    assert survey(f"dir:{cells}") == Survey(2, num_bytes)
    assert survey("synthetic:40") == Survey(40, None)


def test_the_command_prints_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(monkeypatch, "synthetic:40") == 0
    assert json.loads(capsys.readouterr().out) == {"num_samples": 40, "num_bytes": None}


def test_rules_that_are_not_accepted_are_wrong(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.rules_accepted = False
    assert _main(monkeypatch, f"kaggle:{COMPETITION}") == WRONG
    said = capsys.readouterr().err
    assert f"accept the competition's rules at https://www.kaggle.com/c/{COMPETITION}/rules" in said
    assert not [secret for secret in server.secrets if secret in said]


def test_without_credentials_or_without_an_answer_it_is_not_known(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quick_retries: None
) -> None:
    server.api_answers.extend([Answer(503)] * retry.TRIES)
    assert _main(monkeypatch, f"kaggle:{COMPETITION}") == UNKNOWN
    assert "Kaggle cannot give the files" in capsys.readouterr().err
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    assert _main(monkeypatch, f"kaggle:{COMPETITION}") == UNKNOWN
    assert "There are no credentials for Kaggle" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["cells", "dir:none-of-this-name", "synthetic:1"])
def test_a_source_that_is_none_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    assert _main(monkeypatch, source) == WRONG
    assert "expected" in capsys.readouterr().err
