"""Runs a step in a process of its own: a program for tests, and what starts it.

python -m tests.components.run_step <step> <folder of its outputs> <its inputs and parameters as JSON>

It prints `ready` once everything is imported, and begins when it gets a line of input.
"""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

from kfp.dsl import Input

from pipeline.compiled import ROOT

# What each step imports when it runs, and takes seconds.
_IMPORTED = {"convert": ["components.convert.examples", "components.convert.transform"], "train": ["components.train.training"]}


def start_step(step: str, outputs: Path, program: str = __name__, **arguments: object) -> subprocess.Popen[str]:
    """Starts a step, which waits for `let_go`.

    Args:
        step: Its name.
        outputs: The folder of its outputs, which must not exist.
        program: The module to run.
        arguments: Its parameters, and the paths of its inputs.
    """
    outputs.mkdir(parents=True)
    command = [sys.executable, "-m", program, step, str(outputs), json.dumps(arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def let_go(*steps: subprocess.Popen[str]) -> None:
    """Lets steps begin at the same time."""
    for step in steps:
        assert step.stdout
        assert any(line == "ready\n" for line in step.stdout)
    for step in steps:
        assert step.stdin
        step.stdin.write("\n")
        step.stdin.flush()


def finish(step: subprocess.Popen[str]) -> str:
    """Waits for a step that succeeds, and gives its log."""
    log, _ = step.communicate(timeout=600)
    assert step.returncode == 0, log[-3000:]
    return log


def main() -> None:
    """Runs the step."""
    name, outputs, arguments = sys.argv[1:]
    for module in _IMPORTED[name]:
        importlib.import_module(module)
    step = getattr(importlib.import_module(f"components.{name}.step"), name)
    given = json.loads(arguments)
    for parameter in inspect.signature(step).parameters.values():
        if annotated := get_args(parameter.annotation):
            kind, direction = annotated
            uri = given[parameter.name] if direction is get_args(Input[kind])[1] else f"{outputs}/{parameter.name}"
            given[parameter.name] = kind(name=parameter.name, uri=uri)
    print("ready", flush=True)
    sys.stdin.readline()
    step(**given)


if __name__ == "__main__":
    main()
