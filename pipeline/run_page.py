"""The page of a local run: the result, predicted images, what each step did, and the details folded away."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from components.reports.page import EXAMPLES, Section, find_section, named_values, render_page, table, wide
from components.runtime.wording import count_of, duration_of
from pipeline.graph import Graph, Look, draw
from pipeline.local_run import RUN_PAGE, LocalRun
from pipeline.run_details import parameter_details, step_details
from pipeline.run_record import DONE, FAILED, STOPPED, RunRecord
from pipeline.run_steps import Step, read_step


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
    steps = [read_step(folder, spec, name, record) for name in graph.steps]
    page = folder / RUN_PAGE
    page.write_text(_page(folder, spec, graph, steps, record), encoding="utf-8")
    return page


def _page(folder: Path, spec: Mapping[str, Any], graph: Graph, steps: list[Step], record: RunRecord) -> str:
    looks = {step.name: Look(_kind(step), (f"{step.status} {step.took}".strip(), _figure(step))) for step in steps}
    sections = [
        Section("The result", _result(folder, steps, record)),
        *_predicted_images(folder, steps),
        Section(
            "The steps",
            wide(draw(graph, looks)) + wide(_step_table(steps)),
            "A reused step made the same outputs from the same inputs and parameters in an earlier run.",
        ),
        Section("Details", parameter_details(spec, record.arguments) + Markup("").join(map(step_details, steps))),
    ]
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_s))
    took = duration_of((record.ended_s or time.time()) - record.started_s)
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
        how = "After correcting the cause, run" if record.error else "Run"
        parts.append(Markup("<p>{} the same command again: finished work is reused.</p>").format(how))
    links = Markup(" · ").join(
        Markup('<a href="{}">{}</a>').format(*link) for link in [*_copy_reports(folder, steps), ("run.log", "whole output")]
    )
    if any(artifact.name == "metrics" for step in steps for artifact in step.artifacts):
        run = LocalRun(folder)
        rows = [[one.title, one.value, one.baseline, one.baseline_title] for one in run.figures()]
        parts += [
            named_values(run.summary()),
            Markup('<p class="note small">The evaluation report says what these words mean.</p>'),
            wide(table(["Metric", "value", "baseline", "scored by"], rows)),
        ]
    parts.append(Markup("<p>{}</p>").format(links))
    return Markup("").join(parts)


def _predicted_images(folder: Path, steps: list[Step]) -> list[Section]:
    """The predicted images of the evaluation report, if there is one."""
    reports = [artifact for step in steps for artifact in step.artifacts if artifact.name == "evaluation_report"]
    sections = (find_section((folder / report.path).read_text(encoding="utf-8"), EXAMPLES) for report in reports)
    return [section for section in sections if section]


def _copy_reports(folder: Path, steps: list[Step]) -> list[tuple[str, str]]:
    """Copies the reports to names that a browser knows. Returns their addresses and titles, the last step's first."""
    reports = [artifact for step in reversed(steps) for artifact in step.artifacts if artifact.is_report]
    for report in reports:
        shutil.copyfile(folder / report.path, folder / report.address)
    return [(report.address, report.words) for report in reports]


def _kind(step: Step) -> str:
    if not step.record:
        return "waiting"
    return {DONE: "reused" if step.is_reused else "new", FAILED: "failed", STOPPED: "failed"}.get(step.record.status, "waiting")


def _figure(step: Step) -> str:
    """The most important figure of a step's output."""
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
        look = {"done": "yes", "reused": "faint", "not reached": "faint"}.get(step.status, "no")
        links = Markup(", ").join(Markup('<a href="{}">{}</a>').format(one.address, one.words) for one in step.artifacts)
        rows.append([step.name, Markup('<span class="{}">{}</span>').format(look, step.status), began, step.took, links])
    return table(["Step", "status", "began", "took", "made"], rows)
