"""Runs checks concurrently and independently, each with a time limit, and collects their findings."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import StrEnum

from components.runtime.background import begin


class Verdict(StrEnum):
    """The verdict of a check."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_CHECKED = "not checked"


class FailedError(Exception):
    """A check found a problem that would make the run fail. The message says what to do."""


class NotCheckedError(Exception):
    """A check could not be made. The message says why."""


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    check: str
    verdict: Verdict
    text: str


# A check returns a description if all is well, and otherwise raises one of the two errors.
Check = Callable[[], str]


def run_checks(checks: Mapping[str, Check], timeout_s: float) -> list[Finding]:
    """Runs all checks concurrently, and returns their findings in order.

    Args:
        checks: The checks by name.
        timeout_s: The time limit, after which a check counts as not made.
    """
    begun = {name: begin(check) for name, check in checks.items()}
    wait(begun.values(), timeout=timeout_s)
    late = f"no answer within {timeout_s:g} s"
    return [
        _finding(name, future) if future.done() else Finding(name, Verdict.NOT_CHECKED, late) for name, future in begun.items()
    ]


def _finding(name: str, ended: Future[str]) -> Finding:
    try:
        return Finding(name, Verdict.OK, ended.result())
    except FailedError as error:
        return Finding(name, Verdict.FAILED, str(error))
    except NotCheckedError as error:
        return Finding(name, Verdict.NOT_CHECKED, str(error))
    except Exception as error:  # one check must not end the others; its message may contain secrets
        return Finding(name, Verdict.NOT_CHECKED, f"the check itself failed with a {type(error).__name__}")
