"""Ends a step on SIGTERM, which a deleted or preempted pod gets some seconds before it is killed."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Docker kills after 10 s, Kubernetes after 30 s.
_GRACE_S = 8.0
_EXIT_CODE = 128 + signal.SIGTERM

_log = logging.getLogger(__name__)


class _TerminatedError(SystemExit):
    """SIGTERM arrived."""


@contextlib.contextmanager
def ended_by_sigterm(grace_s: float = _GRACE_S) -> Iterator[None]:
    """Makes SIGTERM end this process with exit code 143, even as process 1 of a container, which ignores it by default.

    An exception in the main thread removes temporary files and ends workers. But Python raises it only once the main thread
    returns from native code, and a training step or a clean-up may take long, so after a grace period the process ends anyway.

    Args:
        grace_s: The grace period in seconds.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    previous_fd = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)  # written to at once, even during native code
    previous_handler = signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_exit_late, args=(read_end, grace_s), daemon=True).start()
    try:
        yield
    except _TerminatedError:
        _log.warning("stopped by SIGTERM")
        os._exit(_EXIT_CODE)  # with TensorFlow, a regular exit may take longer than the grace period
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(write_end)


def _exit(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    raise _TerminatedError(_EXIT_CODE)


def _exit_late(read_end: int, grace_s: float) -> None:
    with os.fdopen(read_end, "rb", buffering=0) as signals:
        while number := signals.read(1):  # empty when the step is over
            if number[0] == signal.SIGTERM:
                time.sleep(grace_s)
                os._exit(_EXIT_CODE)
