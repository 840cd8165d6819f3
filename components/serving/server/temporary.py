"""A temporary folder that is removed however this process ends."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def temporary_folder() -> tuple[Path, Callable[[], object]]:
    """Makes a folder, and a function that removes it.

    Another process waits until this one is gone, even if it is killed, and then removes the folder.
    """
    folder = tempfile.mkdtemp()
    command = ["sh", "-c", 'cat; rm -rf "$0"', folder]
    remover = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # Ctrl-C does not reach it
    return Path(folder), remover.communicate
