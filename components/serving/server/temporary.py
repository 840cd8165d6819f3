"""A temporary folder that is removed even if this process is killed."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def temporary_folder() -> tuple[Path, Callable[[], object]]:
    """Makes a folder and a function that removes it.

    A second process waits until this one has ended, even by a kill, and then removes the folder.
    """
    folder = tempfile.mkdtemp()
    command = ["sh", "-c", 'cat; rm -rf "$0"', folder]
    remover = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # Ctrl-C does not reach it
    return Path(folder), remover.communicate
