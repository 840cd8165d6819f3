"""The steps of a local run, from its record and the output of KFP's executor in its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.wording import duration_of
from pipeline.compiled import step_tasks
from pipeline.run_record import DONE, RunRecord, StepRecord


@dataclass(frozen=True)
class Artifact:
    """An output of a step: its type as KFP names it, its path in the run's folder, and its metadata."""

    name: str
    kind: str
    path: str
    metadata: Mapping[str, Any]

    @property
    def is_report(self) -> bool:
        """Whether it is an HTML page."""
        return self.kind == "system.HTML"

    @property
    def address(self) -> str:
        """The link target on the page of the run. For a report, it is the copy under a name that a browser knows."""
        return f"{self.name}.html" if self.is_report else self.path

    @property
    def words(self) -> str:
        """Its name in words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Step:
    """A step of the run. It has no record if it was not reached."""

    name: str
    record: StepRecord | None
    artifacts: tuple[Artifact, ...]

    @property
    def is_reused(self) -> bool:
        """Whether all its outputs existed before this run."""
        return bool(self.artifacts) and all(artifact.metadata.get("reused") for artifact in self.artifacts)

    @property
    def status(self) -> str:
        """The status in words."""
        if not self.record:
            return "not reached"
        if self.record.status != DONE:
            return self.record.status
        return "reused" if self.is_reused else "done"

    @property
    def took(self) -> str:
        """The time taken."""
        return duration_of(self.record.ended_s - self.record.started_s) if self.record else ""


def read_step(folder: Path, spec: Mapping[str, Any], name: str, record: RunRecord) -> Step:
    """Reads what a step of a compiled pipeline did, even if it failed."""
    component = step_tasks(spec)[name]["componentRef"]["name"]
    outputs = spec["components"][component].get("outputDefinitions", {}).get("artifacts", {})
    kinds = {output: definition["artifactType"]["schemaTitle"] for output, definition in outputs.items()}
    paths = list(folder.glob(f"*/{name}/executor_output.json"))
    artifacts = _read_artifacts(folder, kinds, paths[0]) if paths else []
    return Step(name, record.steps.get(name), tuple(artifacts))


def _read_artifacts(folder: Path, kinds: Mapping[str, str], executed: Path) -> list[Artifact]:
    """The record of a step's outputs by KFP's executor."""
    outputs = json.loads(executed.read_text(encoding="utf-8")).get("artifacts", {})
    found = {name: output["artifacts"][0] for name, output in outputs.items()}
    return [
        Artifact(name, kinds.get(name, ""), Path(one["uri"]).relative_to(folder).as_posix(), one["metadata"])
        for name, one in found.items()
        if Path(one["uri"]).exists()
    ]
