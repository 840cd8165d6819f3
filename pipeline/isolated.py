"""Calls a function in a separate process, so that a hang or crash does not affect the command."""

import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, TypeVar

_Result = TypeVar("_Result")

# How long the process may clean up after Ctrl-C, and how long reading its last lines may take once it has ended.
_GRACE_S = 10.0
_LAST_LINES_S = 1.0


def call_isolated(
    function: Callable[[], _Result], timeout_s: float | None = None, on_error_line: Callable[[str], None] = lambda _: None
) -> _Result:
    """Calls a function in a separate process.

    Args:
        function: A module's function, or a `functools.partial` of one. It, its result and its errors are pickled.
        timeout_s: The time limit; None for no limit. A function with a time limit must not start processes.
        on_error_line: Called in a thread with each line that the process writes to standard error.

    Raises:
        TimeoutError: If it takes longer.
        BrokenProcessPool: If the process ends without an answer.
        Exception: What the function raises.
    """
    context = multiprocessing.get_context("spawn")
    (answer, answer_to), (errors, errors_to) = context.Pipe(duplex=False), context.Pipe(duplex=False)
    is_limited = timeout_s is not None
    process = context.Process(target=_answer, args=(function, answer_to, errors_to), daemon=is_limited)
    reader = threading.Thread(target=_read_lines, args=(errors, on_error_line), daemon=True)
    with answer:
        with answer_to, errors_to:
            process.start()
        reader.start()
        try:
            if not answer.poll(timeout_s):
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            result, error = answer.recv()
        except EOFError:
            raise BrokenProcessPool("the process ended without an answer") from None
        finally:
            process.join(0 if is_limited else _GRACE_S)
            process.kill()
            process.join()
            # Child processes of it may keep its standard error open after it has ended.
            reader.join(_LAST_LINES_S)
    if error:
        raise error
    return result


def _answer(function: Callable[[], Any], answer_to: Connection, errors_to: Connection) -> None:
    """Runs in the separate process."""
    os.dup2(errors_to.fileno(), 2)
    errors_to.close()
    answer: tuple[Any, BaseException | None]
    try:
        answer = function(), None
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, ValueError | OSError):  # unexpected: pickling would lose its traceback
            error.add_note("".join(traceback.format_exception(error)))
        answer = None, error
    try:
        answer_to.send(answer)
    except (TypeError, AttributeError, pickle.PicklingError):
        answer_to.send((None, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))


def _read_lines(errors: Connection, on_error_line: Callable[[str], None]) -> None:
    with errors, open(errors.fileno(), encoding="utf-8", errors="replace", closefd=False) as lines:
        for line in lines:
            on_error_line(line)
