"""The command line on a machine with kfp, typer and rich, but without the packages of the steps."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from pipeline.__main__ import app
from pipeline.compiled import ROOT
from tests.pipeline.conftest import commands_of
from tests.pipeline.kfp_server import KfpServer

ABSENT = (
    "PIL",
    "apache_beam",
    "cv2",
    "google.cloud.storage",
    "google_crc32c",
    "jinja2",
    "keras",
    "numpy",
    "sklearn",
    "tensorflow",
    "tqdm",
)
PLACES = ("source=synthetic:450", "data_root=gs://bucket/hpa", "serving_root=gs://bucket/models")
# Python imports this module on startup.
_SITE = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(_SITE)
    return os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def _run(environment: dict[str, str], *commands: Sequence[str], folder: Path = ROOT) -> list[tuple[int, str, str]]:
    """Runs commands one after the other, and returns the status, output and errors of each."""
    program = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from pipeline.__main__ import app\n"
        "ended = [CliRunner().invoke(app, words) for words in json.load(sys.stdin)]\n"
        "print(json.dumps([(done.exit_code, done.stdout, done.stderr or repr(done.exception)) for done in ended]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [tuple(done) for done in json.loads(finished.stdout)]


def test_every_command_shows_its_help(environment: dict[str, str]) -> None:
    commands = [[*words, "--help"] for words in commands_of(typer.main.get_command(app))]
    for words, (status, _, errors) in zip(commands, _run(environment, *commands), strict=True):
        assert status == 0, f"{words}: {errors}"


def test_the_pipeline_is_compiled_submitted_scheduled_and_listed(environment: dict[str, str], server: KfpServer) -> None:
    commands = [
        ["compile", "--check"],
        ["parameters"],
        ["submit", *PLACES],
        ["schedule", "create", "--every", "7d", *PLACES],
        ["schedule", "list"],
        ["runs", "list"],
    ]
    ended = _run(environment | {"KFP_HOST": server.address}, *commands)
    for words, (status, _, errors) in zip(commands, ended, strict=True):
        assert status == 0, f"{words}: {errors}"
    assert (len(server.runs), len(server.recurring_runs)) == (1, 1)


def test_a_command_with_missing_packages_says_how_to_install_them(environment: dict[str, str], tmp_path: Path) -> None:
    commands = [
        ["run", "source=synthetic:40", "weights=none"],
        ["preview", "synthetic:28"],
        ["example", "my_images"],
        ["predict", "--model", "model", "--images", "images"],
    ]
    needs = re.compile(
        rf"This needs the package ([\w.]+), which is not installed for {re.escape(sys.executable)}: run `make setup`\.\n"
    )
    for words, (status, _, errors) in zip(commands, _run(environment, *commands, folder=tmp_path), strict=True):
        match = needs.fullmatch(errors)
        assert match, f"{words}: {errors}"
        assert (status, match[1] in ABSENT) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_preflight_names_the_checks_with_missing_packages(environment: dict[str, str], tmp_path: Path) -> None:
    alone = environment | {"KUBECONFIG": str(tmp_path / "none"), "DOCKER_CONFIG": str(tmp_path)}
    ((_, shown, _),) = _run(alone, ["preflight", *PLACES, "--host", "http://127.0.0.1:9"])
    lines = [line for line in shown.splitlines() if line.startswith("not checked: ")]
    assert [line.split(": ")[1] for line in lines if "which `make setup` installs" in line] == ["source", "data and models"]
