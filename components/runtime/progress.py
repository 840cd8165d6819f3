"""The log of a step: plain lines, prefixed with the step's name, that read well in a pod's log."""

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from components.runtime.environment import RUNNER_PID, load_environment
from components.runtime.full_disk import full_disk_explained
from components.runtime.scratch import sweep_scratch
from components.runtime.termination import ended_by_sigterm
from components.runtime.wording import STARTED

_SECONDS_BETWEEN_LINES = 5.0
# The logger above every module of every step.
_LOGGER = logging.getLogger("components")


@contextlib.contextmanager
def step_log(step: str) -> Iterator[None]:
    """Logs a step as `command_log` does, and loads the environment variables that the cluster gives to it.

    Also ends this process when its parent is gone: a killed runner must not leave a training process behind.
    """
    # A local runner gives its process id, as it may be gone before this line is reached. A cluster does not.
    exit_with_parent(int(os.environ.get(RUNNER_PID, os.getppid())))
    load_environment()
    with command_log(step):
        yield


@contextlib.contextmanager
def command_log(name: str) -> Iterator[None]:
    """Sends log lines to standard output as `name | message`, and logs the time taken at the end.

    Also removes what killed processes left in the temporary folder, explains what to do about a full disk, and ends this
    process on SIGTERM.
    """
    started_s = time.monotonic()
    sweep_scratch()
    with log_lines(f"{name} | %(message)s", logging.INFO), ended_by_sigterm(), full_disk_explained():
        _LOGGER.info(STARTED)
        yield
        _LOGGER.info("done in %.0f s", time.monotonic() - started_s)


@contextlib.contextmanager
def log_lines(line_format: str, level: int = logging.WARNING) -> Iterator[None]:
    """Sends log lines of this level and above to standard output, and restores the logger at the end."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(line_format))
    before = _LOGGER.handlers[:], _LOGGER.level, _LOGGER.propagate
    _LOGGER.handlers[:], _LOGGER.propagate = [handler], False
    _LOGGER.setLevel(level)
    try:
        yield
    finally:
        _LOGGER.handlers[:], level_before, _LOGGER.propagate = before
        _LOGGER.setLevel(level_before)


def exit_with_parent(parent: int) -> None:
    """Ends this process soon after its parent is gone, even if the parent was killed."""
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def progress_bar(total: int, unit: str) -> "tqdm[None]":
    """A tqdm bar that logs a line with count, rate and remaining time every few seconds.

    Args:
        total: The total count.
        unit: The unit of the count. `B` counts bytes, shown as kB, MB and GB.
    """
    is_bytes = unit == "B"
    done = "{n_fmt}B" if is_bytes else "{n_fmt}"
    return tqdm(
        total=total,
        unit=unit if is_bytes else f" {unit}",
        unit_scale=is_bytes,
        file=_LogLines(),
        mininterval=_SECONDS_BETWEEN_LINES,
        ascii=True,
        bar_format=done + "/{total_fmt}{unit}, {percentage:.0f} %, {rate_noinv_fmt}, ETA {remaining}",
    )


class _LogLines(io.StringIO):
    """A file for tqdm that turns each redraw of a bar into a log line."""

    def write(self, text: str) -> int:
        line = text.replace("\r", "").strip()
        if line and not line.endswith("ETA ?"):  # rate and remaining time are not known yet
            _LOGGER.info("%s", line)
        return len(text)


def _exit_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
