import sys
from pathlib import Path

import pytest

from components.serving.watch.action import Action, Condition
from tests.components.serving.predict.conftest import CLASS_NAMES
from tests.components.serving.watch.conftest import AnswerServer

_ANSWER = {"id": "s00", "version": "1", "classes": ["Nucleoli"], "probabilities": {"Nucleoli": 0.75}, "seconds": 2.5}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.serving.watch.action._PAUSES_S", (0.0, 0.0))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("Nucleoli > 0.7", True), ("Nucleoli>=0.75", True), ("Nucleoli < 0.75", False), ("Nucleoli <= .75", True), ("", True)],
)
def test_an_answer_is_posted_once_if_the_condition_holds(server: AnswerServer, condition: str, holds: bool) -> None:
    assert Action(Condition.parse(condition), url=server.url).act(_ANSWER) == ""
    assert server.received == ([_ANSWER] if holds else [])


def test_a_post_is_repeated_after_an_error(server: AnswerServer) -> None:
    server.statuses = [503, 500]
    assert Action(Condition(), url=server.url).act(_ANSWER) == ""
    assert server.received == [_ANSWER] * 3


def test_the_failure_of_a_post_is_returned(server: AnswerServer) -> None:
    server.statuses = [404] * 3
    assert Action(Condition(), url=server.url).act(_ANSWER) == "--post was answered with status 404"
    assert len(server.received) == 3


def test_a_command_gets_the_id_and_the_answer(tmp_path: Path) -> None:
    got = tmp_path / "got"
    script = f"import os, sys; open({str(got)!r}, 'w').write(os.environ['HPA_FIELD_ID'] + sys.stdin.read())"
    assert Action(Condition(), (sys.executable, "-c", script)).act({"id": "s00"}) == ""
    assert got.read_text() == 's00{"id": "s00"}'


def test_failures_of_a_command_and_of_a_missing_server_are_returned(tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'tries')!r}, 'a').write('x'); raise SystemExit(3)"
    problem = Action(Condition(), (sys.executable, "-c", script), "http://127.0.0.1:9").act(_ANSWER)
    assert "exit status 3" in problem
    assert "--post cannot be reached" in problem
    assert (tmp_path / "tries").read_text() == "xxx"


@pytest.mark.parametrize("text", ["Nucleoli", "> 0.5", "Nucleoli > high", "Nucleoli == 0.5"])
def test_a_malformed_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a class, a comparison and a number"):
        Condition.parse(text)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of Nucleoli, Cytosol, Rods & rings. Received: Rods"):
        Condition.parse("Rods > 0.5").check(CLASS_NAMES)
