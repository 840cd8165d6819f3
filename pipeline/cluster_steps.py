"""Reads the steps of a run on a cluster from Kubeflow Pipelines' view of its Argo workflow.

The API lists every node of the workflow as a task. A step `train` has a node `train`; while it runs, there is a node
`executor`, whose children are the pods of its attempts: `executor(0)`, `executor(1)` and so on. Nodes refer to their children
by ids that the nodes themselves do not show, so a step's attempts are found by their start times: steps run one at a time.
A skipped step has no state. A step whose driver, `train-driver`, failed has no pod. Tasks have no error messages.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_ATTEMPT = re.compile(r"executor\((\d+)\)")


@dataclass(frozen=True)
class Attempt:
    """A pod of a step.

    Attributes:
        state: `PENDING` until its container runs, then Kubeflow Pipelines' state.
        started: When it was created.
        running: When its container was first seen running; None if it never was, for example because it took a few seconds.
    """

    state: str
    started: datetime.datetime
    running: datetime.datetime | None

    def waited(self, now: datetime.datetime) -> datetime.timedelta:
        """How long it waited for a node and its image; zero if unknown."""
        until = self.running or (now if self.state == "PENDING" else self.started)
        return until - self.started


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: Its name.
        state: Kubeflow Pipelines' state; `PENDING` while its pod waits; empty if the step has not run.
        started: When its first attempt was created; None if it has not run.
        ended: When it ended; None while it is running.
        attempts: Its pods, in order.
        node_id: The Argo node of its last pod: the workflow's name and the number at the end of the pod's name. Empty without a
            pod.
    """

    name: str
    state: str = ""
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    node_id: str = ""

    def waited(self, now: datetime.datetime) -> datetime.timedelta:
        """How long its pods have waited in total for a node and their image."""
        return sum((attempt.waited(now) for attempt in self.attempts), datetime.timedelta())


def read_steps(run: Any, names: Iterable[str]) -> list[Step]:
    """Reads the steps of a run, in the order of their names."""
    tasks = (run.run_details and run.run_details.task_details) or []
    by_name = {task.display_name: task for task in tasks}
    return [
        Step(name, "FAILED", driver.start_time, driver.end_time)
        if (driver := by_name.get(f"{name}-driver")) and driver.state == "FAILED"
        else _read_step(name, by_name.get(name), tasks)
        for name in names
    ]


def failed_step(steps: Iterable[Step]) -> Step | None:
    """The step in which a run failed."""
    return next((step for step in steps if step.state == "FAILED"), None)


def _read_step(name: str, task: Any, tasks: list[Any]) -> Step:
    if not task or not task.state:
        return Step(name)
    # The API gives 1970 as the end of running tasks.
    ended = task.end_time if task.end_time and task.end_time >= task.start_time else None
    within = [other for other in tasks if task.start_time <= other.start_time and not (ended and other.start_time >= ended)]
    pods = {int(match[1]): other for other in within if (match := _ATTEMPT.fullmatch(other.display_name))}
    attempts = tuple(_read_attempt(pods[number]) for number in sorted(pods))
    ids = [child.pod_name for other in within if other.display_name == "executor" for child in other.child_tasks or []]
    is_waiting = task.state == "RUNNING" and attempts and attempts[-1].state == "PENDING"
    state = "PENDING" if is_waiting else task.state
    return Step(name, state, task.start_time, ended, attempts, ids[-1] if ids else "")


def _read_attempt(task: Any) -> Attempt:
    running = (seen.update_time for seen in task.state_history or [] if seen.state == "RUNNING")
    return Attempt(task.state or "PENDING", task.start_time, next(running, None))
