"""The details of a local run, folded away: its parameters, and the metadata of each step's artifacts, in words."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from components.reports.page import folded, named_values
from components.runtime.wording import size_of
from pipeline.run_steps import Step

_MAX_CHARACTERS = 240
# Explanations of unclear names.
_WORDS = {
    "attempt": "",
    "best_epoch": "epoch that was kept",
    "champion_generation": "",
    "confidenceMetrics": "",
    "confusionMatrix": "",
    "differing_decisions": "decisions that differ in the other precision",
    "display_name": "",
    "index_name": "table of samples",
    "inputs": "made from",
    "metrics": "",
    "num_bad": "unusable samples",
    "num_bytes": "size",
    "num_incomplete": "samples without some of the stains",
    "num_quarantined": "samples left out",
    "num_test": "test examples",
    "num_train": "training examples",
    "num_unlabelled": "samples without labels",
    "num_validation": "validation examples",
    "num_without_files": "rows without any image",
    "reused": "",
    "unlike_share": "share of test images unlike the training images",
    "uri": "folder",
    "usual_distances": "usual distance from the training images",
    "validation_metrics": "",
}


def parameter_details(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> Markup:
    """The given parameters, and the defaults of the others."""
    defaults = {name: one.get("defaultValue", "") for name, one in spec["root"]["inputDefinitions"]["parameters"].items()}
    given = {name: arguments[name] for name in defaults if name in arguments and arguments[name] != defaults[name]}
    others = {name: value for name, value in defaults.items() if name not in given and value not in ("", {})}
    return _details("Parameters", given) + _details("Parameters left at their defaults", others)


def step_details(step: Step) -> Markup:
    """The metadata and locations of a step's artifacts. Their figures are in the reports."""
    artifacts = [artifact for artifact in step.artifacts if artifact.kind != "system.Metrics"]
    said = {name: value for artifact in artifacts for name, value in artifact.metadata.items()}
    values = {_words(name): value for name, value in said.items() if _words(name) and not _is_empty(value)}
    if "size" in values:
        values["size"] = size_of(values["size"])
    return _details(step.name.capitalize(), values, step.name) if values else Markup("")


def _details(title: str, values: Mapping[str, Any], anchor: str = "") -> Markup:
    content = named_values({name: _short(value) for name, value in values.items()})
    return folded(title, Markup('<div id="{}">{}</div>').format(anchor, content) if anchor else content)


def _words(name: str) -> str:
    return _WORDS.get(name, name.removeprefix("num_").replace("_px", " in px").replace("_um", " in µm").replace("_", " "))


def _is_empty(value: Any) -> bool:
    """Whether a value is not worth showing: a count of 0, or a field that does not apply."""
    return value in (None, "", [], {}) or (value == 0 and value is not False)


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        text = ", ".join(f"{name}={_short(one)}" for name, one in value.items() if one not in (None, "", {}))
    elif isinstance(value, list):
        text = "; ".join(map(_short, value))
    else:
        text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"
