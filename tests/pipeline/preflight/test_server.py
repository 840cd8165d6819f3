"""The check of the Kubeflow Pipelines API, by KFP's own client."""

from typing import Any

import pytest

from pipeline.compiled import PIPELINE_YAML
from pipeline.preflight.finding import FailedError, NotCheckedError
from pipeline.preflight.server import check_server
from pipeline.preflight.submission import read_submission
from tests.pipeline.preflight.loopback import Answer, Loopback

V2, V1 = "/apis/v2beta1/healthz", "/apis/v1beta1/healthz"
EXPERIMENTS = "/apis/v2beta1/experiments"
SUBMISSION = read_submission(PIPELINE_YAML, [])


def _answer(server: Loopback, v2: Any, v1: Any = None) -> None:
    server.answers = {V2: v2, V1: v1 or Answer(404), EXPERIMENTS: Answer(body={"experiments": []})}


def test_the_servers_version_is_reported(loopback: Loopback) -> None:
    _answer(loopback, Answer(body={"multi_user": False}), Answer(body={"tag_name": "2.14.3", "multi_user": False}))
    assert check_server(SUBMISSION, loopback.url, "kubeflow") == f"{loopback.url} answers: Kubeflow Pipelines 2.14.3"


def test_the_web_page_reports_the_version(loopback: Loopback) -> None:
    _answer(loopback, Answer(body={"apiServerTagName": "2.17.0", "apiServerReady": True}))
    assert "Kubeflow Pipelines 2.17.0" in check_server(SUBMISSION, loopback.url, "kubeflow")


@pytest.mark.parametrize("health", [{}, {"tag_name": "unknown"}])
def test_a_server_may_not_report_its_version(loopback: Loopback, health: dict[str, str]) -> None:
    _answer(loopback, Answer(body={"multi_user": False}), Answer(body=health))
    with pytest.raises(NotCheckedError, match=r"does not report its release: the pipeline needs Kubeflow Pipelines 2\.14 or"):
        check_server(SUBMISSION, loopback.url, "kubeflow")


def test_a_server_that_is_too_old_is_reported(loopback: Loopback) -> None:
    _answer(loopback, Answer(body={"multi_user": False}), Answer(body={"tag_name": "2.5.0"}))
    with pytest.raises(FailedError, match=r"is Kubeflow Pipelines 2\.5\.0, and the pipeline needs 2\.14 or newer"):
        check_server(SUBMISSION, loopback.url, "kubeflow")


def test_a_namespace_is_sent_only_to_a_multi_user_server(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "sesame")
    for is_multi_user, query in ((False, "page_size=1"), (True, "page_size=1&namespace=team")):
        _answer(loopback, Answer(body={"multi_user": is_multi_user}), Answer(body={"tag_name": "2.17.0"}))
        check_server(SUBMISSION, loopback.url, "team")
        asked = loopback.requests[-1]
        assert (asked.path, sorted(asked.query.split("&"))) == (EXPERIMENTS, sorted(query.split("&")))
        assert asked.authorization == "Bearer sesame"


def test_a_web_page_without_its_server_is_detected(loopback: Loopback) -> None:
    _answer(loopback, Answer(body={"apiServerReady": False}))
    with pytest.raises(FailedError, match="the API server behind it does not answer: see `kubectl -n kubeflow get pods"):
        check_server(SUBMISSION, loopback.url, "kubeflow")


@pytest.mark.parametrize("health", [Answer(404), Answer(body="<html>Sign in</html>")])
def test_another_or_older_server_is_detected(loopback: Loopback, health: Answer) -> None:
    _answer(loopback, health, Answer(body={"tag_name": "1.8.5"}))
    with pytest.raises(FailedError, match=r"answers, but not like Kubeflow Pipelines 2 at /apis/v2beta1/healthz"):
        check_server(SUBMISSION, loopback.url, "kubeflow")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_sign_in_is_reported_without_the_token(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("KFP_EXISTING_TOKEN", "sesame")
    _answer(loopback, Answer(body={"multi_user": True}))
    loopback.answers[EXPERIMENTS] = Answer(status, {"error": "sesame is not the word"})
    with pytest.raises(
        FailedError, match=rf": {status}, \.\.\. is not the word\. .* put a token into KFP_EXISTING_TOKEN"
    ) as refused:
        check_server(SUBMISSION, loopback.url, "kubeflow")
    assert "sesame" not in str(refused.value)


def test_a_failing_server_is_reported(loopback: Loopback) -> None:
    _answer(loopback, Answer(503))
    with pytest.raises(FailedError, match=f"{loopback.url}: 503, "):
        check_server(SUBMISSION, loopback.url, "kubeflow")


def test_an_unreachable_server_is_reported_at_once(loopback: Loopback) -> None:
    loopback.server_close()
    with pytest.raises(FailedError, match=r"cannot be reached: .*Name the server by --host"):
        check_server(SUBMISSION, loopback.url, "kubeflow")


def test_an_invalid_address_is_reported() -> None:
    with pytest.raises(FailedError, match="http://localhost:port is not an address: expected one such as"):
        check_server(SUBMISSION, "http://localhost:port", "kubeflow")


def test_a_missing_address_is_reported_with_advice() -> None:
    with pytest.raises(NotCheckedError, match="Give --host, such as --host http://localhost:8080"):
        check_server(SUBMISSION, "", "kubeflow")
