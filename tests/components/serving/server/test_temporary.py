import subprocess
import sys
import time
from pathlib import Path

from components.serving.server.temporary import temporary_folder

_KILLED = """
import os
from components.serving.server.temporary import temporary_folder
folder, remove = temporary_folder()
(folder / "file").write_bytes(b"content")
print(folder, flush=True)
os.kill(os.getpid(), 9)
"""


def test_folder_is_removed_when_asked_to() -> None:
    folder, remove = temporary_folder()
    (folder / "file").write_bytes(b"content")
    remove()
    assert not folder.exists()


def test_folder_does_not_outlive_a_killed_process() -> None:
    folder = Path(
        subprocess.run([sys.executable, "-c", _KILLED], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    )
    end_s = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < end_s
        time.sleep(0.05)
