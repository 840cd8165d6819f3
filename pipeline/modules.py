"""Runs what steps can do beside the pipeline: in a process of its own, as this one never imports a step's modules."""

import re
import subprocess
import sys
import threading
from typing import IO

import typer

from components.runtime.exit_status import UNKNOWN, WRONG
from pipeline.compiled import ROOT

# How TensorFlow greets a machine without a GPU, whatever TF_CPP_MIN_LOG_LEVEL says: lines that read like errors and are none.
_GREETING = re.compile(r"WARNING: All log messages before absl::|[IWE]\d{4} [\d:.]+ +\d+ \w*(port|cuda\w*)\.cc:\d+\]")


def run_module(module: str, *arguments: str) -> None:
    """Runs a module with arguments, shows what it says, and ends this command as it ends.

    Raises:
        typer.Exit: Always, with its exit status.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace")
    # In a thread, as a process that it started may hold its standard error open for longer than it lives.
    errors = threading.Thread(target=_show_errors, args=(process.stderr,), daemon=True)
    errors.start()
    process.wait()
    errors.join(timeout=1.0)
    raise typer.Exit(process.returncode)


def _show_errors(lines: IO[str]) -> None:
    with lines:
        for line in lines:
            if not _GREETING.match(line):
                sys.stderr.write(line)
                sys.stderr.flush()


def ask_module(module: str, *arguments: str, timeout_s: float) -> tuple[int, str]:
    """Runs a module with arguments, and gives its exit status with what it printed, or with its last words if it failed.

    The status is 0, `WRONG`, or `UNKNOWN`, which it also is where the module did not come to an end by itself.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as expired:
        said = (expired.stderr or b"").decode(errors="replace").strip().splitlines()
        return UNKNOWN, f"no answer within {timeout_s:g} s" + (f": {said[-1]}" if said else "")
    if finished.returncode == 0:
        return 0, finished.stdout
    if finished.returncode in (WRONG, UNKNOWN):
        return finished.returncode, finished.stderr.strip()
    last = (finished.stderr.strip().splitlines() or [f"it ended with status {finished.returncode}"])[-1]
    if last.startswith("ModuleNotFoundError"):
        last = f"{last.partition(': ')[2]}, which `make setup` installs"
    return UNKNOWN, last
