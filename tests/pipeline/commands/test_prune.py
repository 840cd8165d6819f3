import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.artifacts.manifest import Manifest
from components.storage import list_names
from tests.pipeline.commands.conftest import invoke


@pytest.fixture
def root(tmp_path: Path, temporary: Path) -> Path:
    """The outputs of two runs on one source."""
    for name in ("e1", "e2"):
        manifest = Manifest(fingerprint=name, inputs={"raw_images": "r"}, parameters={}, source="dir:x", licence="")
        manifest.publish(str(tmp_path / "data" / "examples" / name))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "verb", "would", "num_left"), [([], "removing", "", 1), (["--dry-run"], "would remove", "would be ", 2)]
)
def test_removed_outputs_are_listed_and_a_dry_run_removes_nothing(
    root: Path, options: list[str], verb: str, would: str, num_left: int
) -> None:
    done = invoke("prune", "--keep", "1", "--pipeline-root", root, *options)
    assert done.exit_code == 0, done.stderr
    gone, counted = done.stdout.splitlines()
    assert re.fullmatch(rf"{verb} {root}/data/examples/e\d: 1 file, \d+ bytes", gone)
    assert re.fullmatch(rf"1 of 2 outputs {would}removed: 1 file, \d+ bytes", counted)
    assert len(list_names(f"{root}/data/examples")) == num_left


_KILLED = """if True:
    import os, signal, sys
    from components import storage
    from components.runtime.scratch import scratch_folder
    with scratch_folder() as folder, storage.create(sys.argv[1]) as unfinished:
        (folder / "model").write_bytes(bytes(1500))
        unfinished.write_bytes(bytes(500))
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_remains_of_a_killed_run_are_removed(root: Path, temporary: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(root / "data" / "training" / "t" / "model")]
    killed = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    for options, would in ((["--dry-run"], "would be "), ([], "")):
        done = invoke("prune", "--keep", "2", "--pipeline-root", root, *options)
        assert done.exit_code == 0, done.stderr
        expected = f"0 of 2 outputs and 2 folders of killed runs {would}removed: 4 files, 2.0 kB"
        assert done.stdout.splitlines()[-1] == expected
    assert list(temporary.iterdir()) == []
    assert not (root / "data" / "training" / "t" / ".partial").exists()


def test_an_unknown_kind_of_address_is_refused(root: Path) -> None:
    refused = invoke("prune", "--keep", "1", "--pipeline-root", root, "--data-root", "s4://bucket")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("data_root: expected a folder, gs://")
