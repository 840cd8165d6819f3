"""The record of a local run, kept in its folder as run.json from the start."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RUN_RECORD = "run.json"

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"


@dataclass
class StepRecord:
    """When a step began, and when it last logged something, in seconds since 1970."""

    started_s: float
    ended_s: float
    status: str = RUNNING


@dataclass
class RunRecord:
    """A run: its arguments, start, end and status, and its steps by name.

    Attributes:
        status: `running` (or killed), `done`, `failed` or `stopped`.
        error: What went wrong.
    """

    arguments: dict[str, Any]
    started_s: float = field(default_factory=time.time)
    ended_s: float | None = None
    status: str = RUNNING
    error: str = ""
    steps: dict[str, StepRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """Reads the record of the run in a folder.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged.
        """
        path = folder / RUN_RECORD
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            steps = {name: StepRecord(**step) for name, step in content.pop("steps").items()}
            return cls(**content, steps=steps)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected the record of a run. It is damaged: {error}. Delete it: the run's artifacts stay"
            ) from None

    def save(self, folder: Path) -> None:
        """Writes the record atomically."""
        unfinished = folder / f"{RUN_RECORD}.part"
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder / RUN_RECORD)

    def record_line(self, step: str) -> None:
        """Records a log line of a step, which means that earlier steps have ended."""
        now_s = time.time()
        for name, other in self.steps.items():
            if name != step:
                other.status = DONE
        self.steps.setdefault(step, StepRecord(now_s, now_s)).ended_s = now_s

    def end(self, status: str, error: str = "", step: str = "") -> None:
        """Records how the run ended.

        Args:
            status: `done`, `failed` or `stopped`.
            error: What went wrong.
            step: The step in which it ended; by default the last one that logged something.
        """
        self.status, self.error, self.ended_s = status, error, time.time()
        last = step or next(reversed(self.steps), "")
        for name, record in self.steps.items():
            record.status = status if name == last else DONE
        if last and last not in self.steps:
            self.steps[last] = StepRecord(self.ended_s, self.ended_s, status)
