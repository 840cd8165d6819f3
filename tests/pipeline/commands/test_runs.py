import re

import pytest

from tests.pipeline.commands.conftest import PLACES, Ask
from tests.pipeline.kfp_server import KfpServer


def test_runs_are_listed_newest_first_and_shown(server: KfpServer, ask: Ask) -> None:
    assert "There are no runs" in ask("runs", "list").output
    assert "There is no run yet" in ask("runs", "show").stderr
    server.page_size = 20
    ask("submit", *PLACES, "--name", "older")
    server.run_state, server.train_error = "FAILED", "no GPU"
    ask("submit", *PLACES, "--name", "newer")
    listed = ask("runs", "list").output.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["newer", "older"]
    assert [line.split()[-1] for line in listed[1:]] == list(server.runs)[::-1]
    newest = ask("runs", "show").output
    assert "newer: failed" in newest
    assert re.search(r"^train +failed +1 h 1 min +no GPU$", newest, re.MULTILINE)
    assert "source=synthetic:450" in newest
    assert "older: succeeded" in ask("runs", "show", next(iter(server.runs))).output
    unknown = ask("runs", "show", "nothing")
    assert unknown.exit_code == 1
    assert "404, ResourceNotFoundError: nothing not found" in unknown.stderr


def test_the_token_comes_from_the_environment_and_is_never_shown(
    server: KfpServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "s3cret-token"
    refused = ask("runs", "list")
    assert refused.exit_code == 1
    assert (
        f"{server.address}: 401, Unauthenticated. You are not signed in: put a token into KFP_EXISTING_TOKEN" in refused.stderr
    )
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "s3cret-token")
    assert ask("runs", "list").exit_code == 0
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "another-s3cret")
    assert "s3cret" not in ask("runs", "list").output


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_unreachable_server_is_named_with_what_to_do(ask: Ask, host: str) -> None:
    refused = ask("runs", "list", "--host", host)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"{host} cannot be reached: ")
    assert "kubectl port-forward" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
