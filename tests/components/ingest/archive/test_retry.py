import logging
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest
import requests
import urllib3

from components.ingest.archive import retry
from components.ingest.archive.retry import TransientError, reason, retry_after_s, retrying
from tests.components.ingest.fault_server import Fault, FaultServer

pytestmark = pytest.mark.usefixtures("quick_retries")

Serve = Callable[[bytes], FaultServer]


class _Failing:
    """A function that fails with each of these errors in turn, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.num_calls = 0
        self._errors: Iterator[Exception] = iter(errors)

    def __call__(self) -> str:
        self.num_calls += 1
        for error in self._errors:
            raise error
        return "done"


@pytest.mark.parametrize(
    "error",
    [
        TransientError("busy"),
        requests.ConnectionError(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        urllib3.exceptions.ProtocolError(),
    ],
)
def test_transient_errors_are_retried(error: Exception) -> None:
    function = _Failing(error, error)
    assert retrying()(function) == "done"
    assert function.num_calls == 3


def test_last_error_is_raised() -> None:
    function = _Failing(*(TransientError(f"busy {k}") for k in range(retry.TRIES + 1)))
    with pytest.raises(TransientError, match=rf"^busy {retry.TRIES - 1}$"):
        retrying()(function)
    assert function.num_calls == retry.TRIES


@pytest.mark.parametrize("error", [ValueError("no"), OSError("no"), requests.exceptions.InvalidURL("no")])
def test_other_errors_are_not_retried(error: Exception) -> None:
    function = _Failing(error)
    with pytest.raises(type(error), match="no"):
        retrying()(function)
    assert function.num_calls == 1


def test_attempts_are_counted_per_call() -> None:
    again = retrying()
    for _ in range(3):
        assert again(_Failing(*[TransientError("busy")] * (retry.TRIES - 1))) == "done"


def test_waits_as_long_as_the_server_asks(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "components"):
        retrying()(_Failing(TransientError("busy", retry_after_s=0.2)))
    assert f"busy; retrying in 0.2 s (attempt 2 of {retry.TRIES})" in caplog.text


def test_does_not_wait_longer_than_the_limit() -> None:
    function = _Failing(TransientError("busy", retry_after_s=retry.LONGEST_RETRY_AFTER_S + 1))
    with pytest.raises(TransientError, match="busy"):
        retrying()(function)
    assert function.num_calls == 1


@pytest.mark.parametrize(("header", "expected_s"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None)])
def test_retry_after_is_read_in_seconds(serve: Serve, header: str, expected_s: float | None) -> None:
    assert _told_to_wait_s(serve, header) == expected_s


def test_retry_after_is_read_as_a_date(serve: Serve) -> None:
    assert _told_to_wait_s(serve, formatdate(time.time() + 7200, usegmt=True)) == pytest.approx(7200, abs=600)
    assert _told_to_wait_s(serve, formatdate(0, usegmt=True)) == 0


def _told_to_wait_s(serve: Serve, header: str) -> float | None:
    server = serve(b"content")
    server.faults.append(Fault(status=429, headers={"Retry-After": header}))
    with requests.get(server.find_address().url, headers={"Range": "bytes=0-0"}, timeout=1) as response:
        return retry_after_s(response)


def test_missing_or_malformed_retry_after_is_none(serve: Serve) -> None:
    with requests.get(serve(b"content").find_address().url, headers={"Range": "bytes=0-0"}, timeout=1) as response:
        assert retry_after_s(response) is None


def test_reason_is_the_system_error_without_the_url() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # no server listens here
        with pytest.raises(requests.ConnectionError) as caught:
            requests.get(f"http://127.0.0.1:{closed.getsockname()[1]}/?signature=secret", timeout=1)
    assert "secret" in str(caught.value)
    assert reason(caught.value) == "Connection refused"


def test_reason_without_a_system_error_is_the_kind_of_error() -> None:
    assert reason(requests.exceptions.InvalidURL("https://host/?signature=secret")) == "InvalidURL"
