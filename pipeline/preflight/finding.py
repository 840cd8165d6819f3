"""What a check finds, and how the checks are run: all at once, none for longer than allowed, each for itself."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_Result = TypeVar("_Result")


class Verdict(StrEnum):
    """What a check says."""

    OK = "ok"
    FAILED = "FAILED"
    COULD_NOT_LOOK = "could not look"


class FailedError(Exception):
    """A check found something that would make the run fail. The message says what, and what to do."""


class CouldNotLookError(Exception):
    """A check could not find out. The message says why."""


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    check: str
    verdict: Verdict
    text: str


# A check returns what it saw where all is well, and raises one of the two errors where it is not.
Check = Callable[[], str]


def begin(act: Callable[[], _Result]) -> Future[_Result]:
    """Begins something in a thread of its own that the end of the process does not wait for."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except Exception as error:  # whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_checks(checks: Mapping[str, Check], timeout_s: float) -> list[Finding]:
    """Runs all checks at once, and gives their findings in the order of the checks.

    Args:
        checks: By name.
        timeout_s: A check that has not ended by then could not look.
    """
    begun = {name: begin(check) for name, check in checks.items()}
    wait(begun.values(), timeout=timeout_s)
    late = f"no answer within {timeout_s:g} s"
    return [
        _finding(name, future) if future.done() else Finding(name, Verdict.COULD_NOT_LOOK, late)
        for name, future in begun.items()
    ]


def _finding(name: str, ended: Future[str]) -> Finding:
    try:
        return Finding(name, Verdict.OK, ended.result())
    except FailedError as error:
        return Finding(name, Verdict.FAILED, str(error))
    except CouldNotLookError as error:
        return Finding(name, Verdict.COULD_NOT_LOOK, str(error))
    except Exception as error:  # one check's trouble must not end the others; its words may hold what is secret
        return Finding(name, Verdict.COULD_NOT_LOOK, f"the check itself failed with a {type(error).__name__}")
