"""The example step of CONTRIBUTING.md and the network of the tutorial, added to a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.compiled import ROOT

STEP = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Example: a step\n")[1]
NETWORK = (ROOT / "docs/tutorials/adding-a-network.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(python|diff) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COPIED = ("benchmarks", "components", "containers", "docs", "pipeline", "requirements", "tests", "CITATION.cff")
_COPIED += ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pipeline.yaml", "pyproject.toml")

Run = Callable[..., str]


def _apply(text: str, root: Path) -> None:
    """Writes the files of an example, and applies its diffs."""
    for kind, name, content in _BLOCK.findall(text):
        path = root / name
        if kind == "python":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            continue
        path.write_text(_changed(path.read_text(encoding="utf-8"), content.splitlines(), name), encoding="utf-8")


def _changed(text: str, lines: list[str], name: str) -> str:
    """Applies a diff of removed (-), added (+) and context lines to a text; three dots match the rest of a line."""
    there = [re.escape(line[1:]).replace(re.escape("..."), ".*") for line in lines if not line.startswith("+")]
    matches = list(re.finditer("^" + "".join(f"({line})\n" for line in there), text, re.MULTILINE))
    assert len(matches) == 1, f"{name}: expected one match of this diff, found {len(matches)}:\n" + "\n".join(lines)
    (found,) = matches
    stays, result = iter(found.groups()), []
    for line in lines:
        if line.startswith("+"):
            result.append(line[1:])
        elif line.startswith("-"):
            next(stays)
        else:
            result.append(next(stays))
    return text[: found.start()] + "".join(f"{line}\n" for line in result) + text[found.end() :]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without its outputs."""
    for name in _COPIED:
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
        else:
            shutil.copyfile(source, target)
    return tmp_path


@pytest.fixture
def run(project: Path) -> Run:
    """Runs a command in the copy, which must succeed."""

    def command(*words: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
        finished = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    return command


@pytest.fixture
def with_step(project: Path, run: Run) -> Path:
    """The copy with the example step, after `make lock docs`."""
    _apply(STEP, project)
    (project / "components/announce/__init__.py").touch()
    (dockerfile,) = re.findall(r"`(mkdir [^`]+)`", STEP)
    run("bash", "-c", dockerfile)
    # What make lock would resolve: the extra is the same as push's.
    shutil.copyfile(project / "requirements/push.txt", project / "requirements/announce.txt")
    run(sys.executable, "-m", "pipeline", "compile")
    run(sys.executable, "-m", "pipeline.reference")
    return project


def _container_command(project: Path, step: str, executor_input: dict[str, object]) -> list[str]:
    """A step's command in the compiled pipeline, adapted to this machine."""
    spec = next(yaml.safe_load_all((project / "pipeline.yaml").read_text(encoding="utf-8")))
    words = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]["command"]
    return [sys.executable if word == "python3" else json.dumps(executor_input) if word == "{{$}}" else word for word in words]


def _artifact(path: Path, kind: str) -> dict[str, object]:
    return {"artifacts": [{"name": path.name, "type": {"schemaTitle": kind}, "uri": str(path), "metadata": {}}]}


@pytest.mark.slow
def test_the_example_step_passes_the_checks_and_runs(with_step: Path, run: Run, tmp_path: Path) -> None:
    assert "announce" in (with_step / "docs/pipeline.svg").read_text(encoding="utf-8")
    assert "| `greeting` | `Dear all` |" in (with_step / "docs/parameters.md").read_text(encoding="utf-8")
    assert "image-announce" in run("make", "-n", "images")
    run("ruff", "check", "components", "pipeline")
    run("ruff", "format", "--check", "components", "pipeline")
    run("lint-imports")
    checks = ["tests/test_readme.py", "tests/containers/test_dockerfiles.py", "tests/pipeline/test_compiled.py"]
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "step or readme or dockerfiles", *checks)

    pushed, note = tmp_path / "pushed_model", tmp_path / "out" / "note"
    pushed.write_text(json.dumps({"pushed": True, "version": 3, "version_uri": "gs://models/hpa/3"}), encoding="utf-8")
    executor_input = {
        "inputs": {
            "parameterValues": {"greeting": "Hello"},
            "artifacts": {"pushed_model": _artifact(pushed, "system.Artifact")},
        },
        "outputs": {"artifacts": {"note": _artifact(note, "system.Markdown")}, "outputFile": str(tmp_path / "out.json")},
    }
    run(*_container_command(with_step, "announce", executor_input))
    assert note.read_text(encoding="utf-8") == "Hello,\n\nversion 3 is served from `gs://models/hpa/3`.\n"


@pytest.mark.long
def test_the_network_is_trained_and_exported_by_the_same_code(project: Path, run: Run) -> None:
    """The network of the tutorial on adding one is trained, exported and pushed by the pipeline."""
    _apply(NETWORK, project)
    arguments = ["source=synthetic:30", "image_size_px=75", "weights=none", "backbone=mobilenet_v2", "epochs=1", "batch_size=8"]
    output = run(sys.executable, "-m", "pipeline", "run", *arguments, "blessing_min_gain=-1")
    assert "Pushed model: " in output
    (manifest,) = (project / "outputs/runs").glob("*/*/train/model/assets.extra/model.json")
    assert json.loads(manifest.read_text(encoding="utf-8"))["parameters"]["backbone"] == "mobilenet_v2"
