"""How a step ends when it is told to: whoever deletes or preempts a pod sends SIGTERM, and kills some seconds later."""

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
    """SIGTERM came."""


@contextlib.contextmanager
def ended_by_sigterm(grace_s: float = _GRACE_S) -> Iterator[None]:
    """Lets SIGTERM end this process with exit code 143, also where it is process 1 of a container, which the kernel shields.

    An exception is raised in the main thread, so that temporary files go and workers end. But Python does that only once the
    main thread is back from native code, and a training step or a clean-up may take long: so after a while the process ends
    anyway.

    Args:
        grace_s: How long, in seconds.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    previous_fd = signal.set_wakeup_fd(told, warn_on_full_buffer=False)  # written to at once, whatever the main thread does
    previous_handler = signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_exit_late, args=(heard, grace_s), daemon=True).start()
    try:
        yield
    except _TerminatedError:
        _log.warning("stopped by SIGTERM: the next run carries on from what is finished")
        os._exit(_EXIT_CODE)  # an interpreter with TensorFlow in it may take longer to end than is left
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(told)


def _exit(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not disturb what cleans up
    raise _TerminatedError(_EXIT_CODE)


def _exit_late(heard: int, grace_s: float) -> None:
    with os.fdopen(heard, "rb", buffering=0) as signals:
        while number := signals.read(1):  # nothing: the step is over
            if number[0] == signal.SIGTERM:
                time.sleep(grace_s)
                os._exit(_EXIT_CODE)
