"""Calls functions in the background."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def begin(act: Callable[[], _Result]) -> Future[_Result]:
    """Starts a function in a daemon thread, which does not keep the process from ending."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except Exception as error:  # raised where the result is used
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
