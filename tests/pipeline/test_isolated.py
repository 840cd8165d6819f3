import os
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import pytest

from pipeline.isolated import call_isolated


def _write_errors(*lines: str) -> int:
    sys.stderr.writelines(lines)
    return os.getpid()


def _fail(message: str) -> None:
    raise FileNotFoundError(message)


def _import_something_missing() -> None:
    import none_of_this_name  # noqa: F401, PLC0415


def _look_up_nothing() -> None:
    {}["nothing"]


def _raise_local_error() -> None:
    class _LocalError(Exception):
        pass

    raise _LocalError("no way back")


def test_the_result_and_the_error_lines_come_from_another_process() -> None:
    lines: list[str] = []
    assert call_isolated(partial(_write_errors, "one\n", "two"), on_error_line=lines.append) != os.getpid()
    assert lines == ["one\n", "two"]


def test_an_error_is_raised_in_the_caller() -> None:
    with pytest.raises(FileNotFoundError, match="no images"):
        call_isolated(partial(_fail, "no images"))
    with pytest.raises(ModuleNotFoundError) as missing:
        call_isolated(_import_something_missing)
    assert missing.value.name == "none_of_this_name"


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(KeyError) as unexpected:
        call_isolated(_look_up_nothing)
    assert "in _look_up_nothing" in unexpected.value.__notes__[0]


def test_an_error_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(RuntimeError, match="_LocalError: no way back"):
        call_isolated(_raise_local_error)


def test_a_process_that_takes_too_long_is_killed() -> None:
    started_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.5 s"):
        call_isolated(partial(time.sleep, 600), timeout_s=0.5)
    assert time.monotonic() - started_s < 30


def test_a_killed_process_raises_broken_process_pool() -> None:
    with pytest.raises(BrokenProcessPool):
        call_isolated(partial(os._exit, 9), timeout_s=60)
