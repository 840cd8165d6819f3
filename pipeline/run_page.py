"""The page of a local run: the graph with what each step did, the parameters, and the artifacts with their metadata."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.reports.page import Section, render_page, table
from components.runtime.wording import count_of
from pipeline.compiled import step_tasks
from pipeline.graph import Graph, Look, draw
from pipeline.local_run import RUN_PAGE, LocalRun
from pipeline.run_record import DONE, FAILED, STOPPED, RunRecord, StepRecord

_HTML = "system.HTML"
_MAX_CHARACTERS = 240
# Of a metrics artifact: KFP's page draws them, and the evaluation report does.
_DRAWN = {"confusionMatrix": "a confusion matrix", "confidenceMetrics": "a ROC curve"}


@dataclass(frozen=True)
class Artifact:
    """An output of a step: its type as KFP names it, its path in the run's folder, and its metadata."""

    name: str
    kind: str
    path: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """A step of the run. It has no record if it was not reached."""

    name: str
    record: StepRecord | None
    artifacts: tuple[Artifact, ...]

    @property
    def is_reused(self) -> bool:
        """Whether all that it gave was there before this run."""
        return bool(self.artifacts) and all(artifact.metadata.get("reused") for artifact in self.artifacts)

    @property
    def status(self) -> str:
        """In words."""
        if not self.record:
            return "not reached"
        if self.record.status != DONE:
            return self.record.status
        return "found again" if self.is_reused else "done"

    @property
    def took(self) -> str:
        """How long."""
        return _duration(self.record.ended_s - self.record.started_s) if self.record else ""


def write_run_page(folder: Path, spec: Mapping[str, Any], record: RunRecord) -> Path:
    """Writes the page of a run into its folder, with copies of the reports under names that a browser knows.

    Args:
        folder: The run's.
        spec: The pipeline that was run, compiled.
        record: What it did.

    Returns:
        The page.
    """
    graph = Graph.read(spec)
    steps = [_read_step(folder, spec, name, record) for name in graph.steps]
    page = folder / RUN_PAGE
    page.write_text(_page(folder, spec, graph, steps, record), encoding="utf-8")
    return page


def _read_step(folder: Path, spec: Mapping[str, Any], name: str, record: RunRecord) -> Step:
    component = step_tasks(spec)[name]["componentRef"]["name"]
    outputs = spec["components"][component].get("outputDefinitions", {}).get("artifacts", {})
    kinds = {output: definition["artifactType"]["schemaTitle"] for output, definition in outputs.items()}
    paths = list(folder.glob(f"*/{name}/executor_output.json"))
    artifacts = _read_artifacts(folder, kinds, paths[0]) if paths else []
    return Step(name, record.steps.get(name), tuple(artifacts))


def _read_artifacts(folder: Path, kinds: Mapping[str, str], executed: Path) -> list[Artifact]:
    """What KFP's executor wrote of a step's outputs."""
    outputs = json.loads(executed.read_text(encoding="utf-8")).get("artifacts", {})
    found = {name: output["artifacts"][0] for name, output in outputs.items()}
    return [
        Artifact(name, kinds.get(name, ""), Path(one["uri"]).relative_to(folder).as_posix(), one["metadata"])
        for name, one in found.items()
        if Path(one["uri"]).exists()
    ]


def _page(folder: Path, spec: Mapping[str, Any], graph: Graph, steps: list[Step], record: RunRecord) -> str:
    sections = [
        Section("The result", _result(folder, steps, record)),
        Section(
            "The steps",
            draw(graph, {step.name: Look(_kind(step), (f"{step.status} {step.took}".strip(), _figure(step))) for step in steps})
            + _step_table(steps),
            "What is “found again” was made before, of the same content with the same parameters.",
        ),
        Section("Parameters", _parameters(spec, record.arguments)),
        *[Section(step.name.capitalize(), _artifacts(step), anchor=step.name) for step in steps if step.artifacts],
    ]
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_s))
    took = _duration((record.ended_s or time.time()) - record.started_s)
    return render_page(f"Run of {record.arguments.get('source', '')}", f"{began}; {record.status} after {took}", sections)


def _result(folder: Path, steps: list[Step], record: RunRecord) -> Markup:
    parts = []
    if record.status == DONE:
        parts.append(Markup("<p><strong>{}</strong></p>").format(LocalRun(folder).outcome()))
    else:
        at = next((step.name for step in steps if step.record and step.record.status == record.status), "")
        parts.append(Markup('<p class="no">{}{}</p>').format(record.status.capitalize(), f" in {at}" if at else ""))
        if record.error:
            parts.append(Markup("<pre>{}</pre>").format(record.error))
        parts.append(Markup("<p>The same command carries on: what was finished is found again.</p>"))
    if any(artifact.name == "metrics" for step in steps for artifact in step.artifacts):
        rows = [[one.title, one.value, one.baseline, one.baseline_title] for one in LocalRun(folder).figures()]
        parts.append(table(["Metric", "value", "baseline", "scored by"], rows))
    links = [*_report_links(folder, steps), ("run.log", "whole output")]
    joined = Markup(" · ").join(Markup('<a href="{}">{}</a>').format(*link) for link in links)
    parts.append(Markup("<p>{}</p>").format(joined))
    return Markup("").join(parts)


def _report_links(folder: Path, steps: list[Step]) -> list[tuple[str, str]]:
    links = []
    for step in reversed(steps):
        for artifact in step.artifacts:
            if artifact.kind == _HTML:
                shutil.copyfile(folder / artifact.path, folder / f"{artifact.name}.html")
                links.append((f"{artifact.name}.html", artifact.name.replace("_", " ")))
    return links


def _kind(step: Step) -> str:
    if not step.record:
        return "waiting"
    return {DONE: "reused" if step.is_reused else "new", FAILED: "failed", STOPPED: "failed"}.get(step.record.status, "waiting")


def _figure(step: Step) -> str:
    """What a person asks first of a step's output."""
    said = {name: value for artifact in step.artifacts for name, value in artifact.metadata.items()}
    if "num_bytes" in said:
        return count_of(said["num_samples"], "sample")
    if "num_train" in said:
        return count_of(said["num_train"] + said["num_validation"] + said["num_test"], "example")
    if "best_epoch" in said:
        return f"epoch {said['best_epoch']} of {said['epochs_trained']}"
    if "f1_macro" in said:
        return f"macro F1 {said['f1_macro']:.3f}"
    if "pushed" in said:
        return f"version {said['version']}" if "version" in said else "not pushed"
    return ""


def _step_table(steps: list[Step]) -> Markup:
    rows = []
    for step in steps:
        began = time.strftime("%H:%M:%S", time.localtime(step.record.started_s)) if step.record else ""
        links = Markup(", ").join(Markup('<a href="#{}">{}</a>').format(step.name, one.name) for one in step.artifacts)
        look = {"done": "yes", "found again": "faint", "not reached": "faint"}.get(step.status, "no")
        rows.append([step.name, Markup('<span class="{}">{}</span>').format(look, step.status), began, step.took, links])
    return table(["Step", "status", "began", "took", "made"], rows)


def _parameters(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> Markup:
    """Those that were given, and the defaults below."""
    defaults = {name: one.get("defaultValue", "") for name, one in spec["root"]["inputDefinitions"]["parameters"].items()}
    given = {name: arguments[name] for name in defaults if name in arguments and arguments[name] != defaults[name]}
    others = {name: value for name, value in defaults.items() if name not in given}
    defaults_of_others = Markup("<details><summary>Defaults of the others</summary>{}</details>")
    return _table("Parameter", given) + defaults_of_others.format(_table("Parameter", others))


def _artifacts(step: Step) -> Markup:
    """What all artifacts of a step say alike, once; then each with the rest."""
    first, *others = [artifact.metadata for artifact in step.artifacts]
    shared = {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
    parts = [_metadata(shared)]
    for artifact in step.artifacts:
        own = {name: value for name, value in artifact.metadata.items() if name not in {*shared, "display_name"}}
        path = f"{artifact.name}.html" if artifact.kind == _HTML else artifact.path
        kind = artifact.kind.removeprefix("system.")
        title = Markup('<a href="{}">{}</a> <span class="faint">{}</span>').format(path, artifact.name, kind)
        if own:
            parts.append(Markup("<details><summary>{}</summary>{}</details>").format(title, _metadata(own)))
        else:
            parts.append(Markup('<p class="artifact">{}</p>').format(title))
    return Markup("").join(parts)


def _metadata(metadata: Mapping[str, Any]) -> Markup:
    said = {name.replace("_", " "): _DRAWN.get(name, value) for name, value in metadata.items()}
    return _table("Metadata", {name: value for name, value in said.items() if value not in ("", {}, [])})


def _table(title: str, values: Mapping[str, Any]) -> Markup:
    return table([title, "value"], [[name, _short(value)] for name, value in values.items()])


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        text = ", ".join(f"{name} {_short(one)}" for name, one in value.items())
    elif isinstance(value, list):
        text = "; ".join(map(_short, value))
    else:
        text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
