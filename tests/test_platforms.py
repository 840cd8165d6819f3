"""The platforms with builds of everything that `make setup` installs, as in docs/platforms.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.compiled import ROOT

pytestmark = pytest.mark.slow

# Published only as source, with nothing to compile.
_SOURCES = ("google-apitools", "kfp-server-api")
_PYTHONS = ("3.11", "3.12", "3.13")
# onnxruntime has no builds for earlier versions.
_MACOS = "14.0"


def _missing(folder: Path, platform: str, python: str, *without: str) -> str:
    """uv's message about locked packages without a build for a platform; empty if each has one.

    Args:
        folder: A folder for the requirements.
        platform: The platform's name in uv.
        python: The version of Python.
        *without: Packages to leave out.
    """
    locked = (ROOT / "requirements" / "all.txt").read_text(encoding="utf-8")
    names = "|".join([*_SOURCES, *without])
    (folder / "all.txt").write_text(re.sub(rf"^({names})==.*\n(    --hash.*\n)+", "", locked, flags=re.MULTILINE))
    command = [Path(sys.executable).parent / "uv", "pip", "install", "--dry-run", "--target", folder / "packages"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", folder / "all.txt"]
    found = subprocess.run(
        [*command, *options, f"--python-platform={platform}", f"--python-version={python}"],
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": _MACOS},
        capture_output=True,
        text=True,
        check=False,
    )
    if "error sending request" in found.stderr:
        pytest.skip("needs a package index")
    return found.stderr if found.returncode else ""


@pytest.mark.parametrize("python", _PYTHONS)
@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin"])
def test_linux_and_macs_with_apple_silicon_have_builds_of_all_packages(tmp_path: Path, platform: str, python: str) -> None:
    assert not _missing(tmp_path, platform, python)


@pytest.mark.parametrize("python", _PYTHONS)
@pytest.mark.parametrize("platform", ["aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc"])
def test_linux_on_arm_and_windows_lack_only_tfx_bsl(tmp_path: Path, platform: str, python: str) -> None:
    assert "tfx-bsl==" in _missing(tmp_path, platform, python)
    assert not _missing(tmp_path, platform, python, "tfx-bsl")
