"""The console of the commands, and how they end on errors."""

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

import typer
from rich.console import Console

from pipeline.kfp_client import ClusterError
from pipeline.local import StepFailedError

console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, status: int = 1) -> NoReturn:
    """Prints an error and ends the command with an exit status."""
    _errors.print(message, style="red", markup=False, emoji=False)
    raise typer.Exit(status)


@contextlib.contextmanager
def reported(stopped: str = "Stopped.") -> Iterator[None]:
    """Ends the command with a message instead of a traceback on an expected error.

    Args:
        stopped: The message after Ctrl-C.

    Raises:
        typer.Exit: With status 1, or 130 after Ctrl-C.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        fail(missing_package(error))
    except (ValueError, OSError, ClusterError, StepFailedError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(stopped, status=130)


def missing_package(error: ModuleNotFoundError) -> str:
    """A message that names the missing package and how to install it.

    Raises:
        ModuleNotFoundError: The same error, if the missing module belongs to this project.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "components", "pipeline"):
        raise error
    return f"This needs the package {error.name}, which is not installed for {sys.executable}: run `make setup`."
