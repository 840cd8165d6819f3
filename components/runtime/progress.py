"""What a step says while it works: plain lines, each naming the step, that read well in a pod's log."""

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from components.runtime.environment import load_environment
from components.runtime.full_disk import full_disk_explained
from components.runtime.scratch import sweep_scratch
from components.runtime.termination import ended_by_sigterm

# The environment variable in which a local runner gives its process id.
RUNNER_PID = "HPA_RUNNER_PID"
# The first line of every step: it says that the step before is over.
STARTED = "started"
_SECONDS_BETWEEN_LINES = 5.0
# The logger above every module of every step.
_LOGGER = logging.getLogger("components")


@contextlib.contextmanager
def step_log(step: str) -> Iterator[None]:
    """Logs a step as `command_log` does, with the environment variables that the cluster gives to it.

    Also ends this process when its parent is gone: a runner that was killed must not leave a training behind.
    """
    # A local runner says who it is, as it may be gone before this line is reached. On a cluster nobody does.
    exit_with_parent(int(os.environ.get(RUNNER_PID, os.getppid())))
    load_environment()
    with command_log(step):
        yield


@contextlib.contextmanager
def command_log(name: str) -> Iterator[None]:
    """Sends log lines to standard output, each as `name | message`, and the time it took at the end.

    Also removes what killed processes have left in the temporary folder, says what to do about a full disk, and ends this
    process when it gets SIGTERM.
    """
    started_s = time.monotonic()
    sweep_scratch()
    with log_lines(f"{name} | %(message)s", logging.INFO), ended_by_sigterm(), full_disk_explained():
        _LOGGER.info(STARTED)
        yield
        _LOGGER.info("done in %.0f s", time.monotonic() - started_s)


@contextlib.contextmanager
def log_lines(line_format: str, level: int = logging.WARNING) -> Iterator[None]:
    """Sends log lines of this level and above to standard output, and sets the logger back at the end."""
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
    """Ends this process soon after its parent is gone, however that came: nothing else tells it of a kill."""
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def progress_bar(total: int, unit: str) -> "tqdm[None]":
    """A tqdm bar that writes a line with count, rate and time left to the log every few seconds.

    Args:
        total: How many there are.
        unit: What is counted. `B` counts bytes, shown as kB, MB and GB.
    """
    return tqdm(
        total=total,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B",
        file=_LogLines(),
        mininterval=_SECONDS_BETWEEN_LINES,
        ascii=True,
        bar_format="{n_fmt}/{total_fmt}{unit}, {percentage:.0f} %, {rate_noinv_fmt}, ETA {remaining}",
    )


class _LogLines(io.StringIO):
    """A file for tqdm that turns each redrawing of a bar into a log line."""

    def write(self, text: str) -> int:
        line = text.replace("\r", "").strip()
        if line and not line.endswith("ETA ?"):  # nothing is known of rate and time left yet
            _LOGGER.info("%s", line)
        return len(text)


def _exit_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
