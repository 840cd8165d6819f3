"""The outputs of a finished local run in its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.compiled import load_steps

RUN_PAGE = "run.html"
# The metrics in the summary of a run, and evaluate's titles of the baselines.
_FIGURES = {"f1_macro": "F1, macro average", "f1_micro": "F1, micro average", "accuracy": "Accuracy at 0.5"}
BASELINE_TITLES = {"always_no": "predicting nothing", "class_prior": "class frequencies"}


@dataclass(frozen=True)
class Figure:
    """A metric of the model, and the highest baseline, which the model must beat."""

    title: str
    value: float
    baseline: float
    baseline_title: str


@dataclass(frozen=True)
class LocalRun:
    """A finished local run: `folder` holds its page, its record, and every artifact as `<pipeline>/<step>/<output>`."""

    folder: Path

    def artifact(self, step: str, output: str) -> Path:
        """Where an output of a step is."""
        (path,) = self.folder.glob(f"*/{step}/{output}")
        return path

    def read_json(self, step: str, output: str) -> dict[str, Any]:
        """Reads an output that is JSON."""
        content: dict[str, Any] = json.loads(self.artifact(step, output).read_text(encoding="utf-8"))
        return content

    def figures(self) -> list[Figure]:
        """The metrics that summarise the evaluation."""
        metrics, baselines = self.read_json("evaluate", "metrics"), self.read_json("evaluate", "blessing")["baselines"]
        figures = []
        for name, title in _FIGURES.items():
            highest = max(baselines, key=lambda baseline: baselines[baseline][name])
            figures.append(Figure(title, metrics[name], baselines[highest][name], BASELINE_TITLES[highest]))
        return figures

    def outcome(self) -> str:
        """The outcome in one line: pushed, unchanged, or refused and why."""
        pushed = self.read_json("push", "pushed_model")
        if pushed["pushed"]:
            return f"Pushed model: {pushed['version_uri']}"
        if "version" in pushed:
            return f"Unchanged: version {pushed['version']} stays the champion. Nothing was pushed."
        champion = self.read_json("evaluate", "blessing").get("champion_version")
        stays = f" (version {champion} stays the champion)" if champion else ""
        return f"No model pushed{stays}: {'; '.join(pushed['reasons'])}"

    def summary(self) -> dict[str, str]:
        """What the model is good for: see `components.evaluate.summary`."""
        return dict(self.read_json("evaluate", "blessing").get("summary", {}))

    @property
    def has_champion(self) -> bool:
        """Whether a model is served now: that of this run, or an earlier one."""
        return "version" in self.read_json("push", "pushed_model") or bool(
            self.read_json("evaluate", "blessing").get("champion_version")
        )

    def reused_steps(self) -> list[str]:
        """The steps whose outputs were all reused from an earlier run."""
        reused = []
        for step in load_steps():
            artifacts = self.read_json(step, "executor_output.json")["artifacts"].values()
            if all(artifact["artifacts"][0]["metadata"].get("reused") for artifact in artifacts):
                reused.append(step)
        return reused
