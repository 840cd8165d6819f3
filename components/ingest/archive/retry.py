"""Retries of network calls: exponential backoff with jitter, or as long as the server asks."""

import logging

import requests
import tenacity
import urllib3

TRIES = 8
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
"""If a server asks for a longer wait, the request is not retried."""

_log = logging.getLogger(__name__)


class TransientError(OSError):
    """A temporary failure.

    Attributes:
        retry_after_s: How long the server asks to wait, if it does.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


# While a body is read, `requests` passes on errors of urllib3.
TRANSIENT_ERRORS = (
    TransientError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


def retrying() -> tenacity.Retrying:
    """Calls a function up to `TRIES` times while it fails with a transient error.

    The last error is raised unchanged.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(TRIES),
        wait=_wait_s,
        before_sleep=_log_retry,
        reraise=True,
    )


def retry_after_s(response: requests.Response) -> float | None:
    """The wait that a server asks for, in seconds or by a date; None if there is none, or it is malformed."""
    try:
        return urllib3.Retry().get_retry_after(response.raw)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def reason(error: BaseException) -> str:
    """The operating system's message for a failed call, or else the kind of error; never a URL."""
    kind = type(error).__name__
    while isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError) and error.__context__:
        error = error.__context__
    return getattr(error, "strerror", None) or kind


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TRANSIENT_ERRORS) and _asked_wait_s(error) <= LONGEST_RETRY_AFTER_S


def _wait_s(state: tenacity.RetryCallState) -> float:
    backoff = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)
    return max(_asked_wait_s(state.outcome.exception() if state.outcome else None), backoff(state))


def _asked_wait_s(error: BaseException | None) -> float:
    return getattr(error, "retry_after_s", None) or 0.0


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    _log.warning("%s; retrying in %.1f s (attempt %d of %d)", error, wait_s, state.attempt_number + 1, TRIES)
