"""Runs a step in a separate process: a program for tests, and functions that start it.

python -m tests.components.run_step <step> <folder of its outputs> <its inputs and parameters as JSON>

It prints `ready` when everything is imported, and begins when it receives a line of input.
"""

import importlib
import inspect
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from kfp.dsl import Input

from components import storage
from components.runtime.scratch import remove_abandoned
from pipeline.compiled import ROOT

# The modules that each step imports when it runs, which takes seconds.
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
    """Waits for a step, which must succeed, and returns its log."""
    log, _ = step.communicate(timeout=600)
    assert step.returncode == 0, log[-3000:]
    return log


def check_twins(
    start: Callable[[str], subprocess.Popen[str]],
    published: Callable[[str], dict[str, object]],
    place: str,
    num_rounds: int,
    reused: str,
) -> None:
    """Runs two identical steps at the same time, several times, and kills one of them every other time.

    Args:
        start: Starts the step with a `data_root`.
        published: Reads what the step published below a `data_root`, by name, and fails if anything else is left there. All
            must be as a single run publishes it.
        place: The folder for the `data_root` of each round.
        num_rounds: The number of rounds.
        reused: A text in the log of a run that reuses the output, checked in a third run after each kill.
    """
    alone = start(f"{place}/alone")
    let_go(alone)
    began_s = time.monotonic()
    finish(alone)
    seconds = time.monotonic() - began_s
    expected = published(f"{place}/alone")
    chance = random.Random(0)
    for number in range(num_rounds):
        for is_killed in (True, False):
            data_root = f"{place}/{number}{is_killed}"
            twins = [start(data_root) for _ in range(2)]
            let_go(*twins)
            if is_killed:
                time.sleep(seconds * (number + chance.random()) / num_rounds)
                killed = twins.pop(0)
                killed.kill()
                killed.communicate()
            for twin in twins:
                finish(twin)
            if is_killed:
                third = start(data_root)
                let_go(third)
                assert reused in finish(third)
                remove_unfinished(data_root)
            found = published(data_root)
            differ = [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]
            assert not differ, f"{differ} differ in {data_root}"


def remove_unfinished(data_root: str) -> None:
    """Removes what killed processes left, as `prune` does."""
    for left in storage.find_unfinished(data_root):
        remove_abandoned(left)


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
