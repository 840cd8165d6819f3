"""The committed pipeline.yaml: compiles it from `pipeline.pipeline`, and reads its parameters."""

import difflib
import functools
import graphlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.artifacts.parameters import RULES, check_parameters
from components.runtime.scratch import scratch_folder
from pipeline.releases import Release

ROOT = Path(__file__).resolve().parent.parent
PIPELINE_YAML = ROOT / "pipeline.yaml"
_ENDPOINT = re.compile(r"https?://[\w.-]+(:\d+)?/?")
_REGION = re.compile(r"[a-z0-9-]+")


def compile_pipeline(
    release: Release = Release.OLDEST,
    s3_endpoint: str = "",
    s3_region: str = "",
    push_has_keys: bool = False,
    with_gpu: bool = True,
) -> str:
    """Compiles the pipeline. The same code and arguments give the same text.

    Args:
        release: The oldest release of Kubeflow Pipelines to support.
        s3_endpoint: The endpoint URL of s3:// addresses; empty leaves it to the cluster's ConfigMap, as does s3_region.
        s3_region: The region of the endpoint.
        push_has_keys: Whether push gets its own keys for s3:// from a Secret.
        with_gpu: Whether train requests a GPU.

    Raises:
        ValueError: If the endpoint or the region is invalid.
    """
    if s3_endpoint and not _ENDPOINT.fullmatch(s3_endpoint):
        raise ValueError(f"--s3-endpoint: expected a URL such as https://s3.example.com:9000. Received: {s3_endpoint}")
    if s3_region and not _REGION.fullmatch(s3_region):
        raise ValueError(f"--s3-region: expected a region such as eu-west-1. Received: {s3_region}")
    from kfp import compiler  # noqa: PLC0415 (takes seconds, which --help should not)

    from pipeline.pipeline import hpa_pipeline  # noqa: PLC0415
    from pipeline.placement import add_newest_settings, remove_gpu, set_s3  # noqa: PLC0415

    with scratch_folder() as folder:
        path = folder / PIPELINE_YAML.name
        compiler.Compiler().compile(hpa_pipeline, str(path))
        text = path.read_text(encoding="utf-8")
    comment = "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    spec, platform = yaml.safe_load_all(text)
    _describe_parameters(spec)
    if release == Release.NEWEST:
        add_newest_settings(platform)
    if s3_endpoint or s3_region or push_has_keys:
        set_s3(spec, platform, s3_endpoint, s3_region, push_has_keys)
    if not with_gpu:
        remove_gpu(spec, platform)
    return comment + yaml.safe_dump_all([spec, platform])


def _describe_parameters(spec: dict[str, Any]) -> None:
    """Gives the pipeline's parameters the descriptions of the first step that takes them, unless they have their own."""
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    for component in spec["components"].values():
        for name, definition in component.get("inputDefinitions", {}).get("parameters", {}).items():
            parameters[name].setdefault("description", definition["description"])


def step_tasks(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of a compiled pipeline, by step."""
    tasks: dict[str, Any] = spec["root"]["dag"]["tasks"]
    return tasks


@dataclass(frozen=True)
class Parameter:
    """A parameter of the compiled pipeline, with the steps that take it, in order. A required one has no default."""

    name: str
    kind: str
    default: Any
    is_required: bool
    description: str
    steps: tuple[str, ...]

    @property
    def default_text(self) -> str:
        """The default in the format of the command line."""
        if self.kind == "NUMBER_INTEGER":
            return str(int(self.default))
        if self.kind in ("BOOLEAN", "STRUCT", "LIST"):
            return json.dumps(self.default)
        return str(self.default) or '""'

    def parse(self, text: str) -> Any:
        """Parses a value from the command line.

        Raises:
            ValueError: If it does not have the parameter's type.
        """
        try:
            return _READERS[self.kind](text)
        except ValueError:
            raise ValueError(f"{self.name}: expected {_KIND_NAMES[self.kind]}. Received: {self.name}={text}") from None


def _read_json(text: str, kind: type) -> Any:
    value = json.loads(text)
    if not isinstance(value, kind):
        raise ValueError(text)
    return value


def _read_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": _read_number,
    "BOOLEAN": lambda text: _read_json(text.lower(), bool),
    "STRUCT": lambda text: _read_json(text, dict),
    "LIST": lambda text: _read_json(text, list),
}
_KIND_NAMES = {
    "STRING": "text",
    "NUMBER_INTEGER": "a whole number",
    "NUMBER_DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "STRUCT": 'a JSON object such as {"label": "value"}',
    "LIST": "a JSON list",
}


@functools.cache
def load_steps(path: Path = PIPELINE_YAML) -> tuple[str, ...]:
    """The steps of a compiled pipeline in topological order."""
    tasks = step_tasks(next(yaml.safe_load_all(path.read_text(encoding="utf-8"))))
    needs = {step: sorted(task.get("dependentTasks", ())) for step, task in sorted(tasks.items())}
    return tuple(graphlib.TopologicalSorter(needs).static_order())


def load_parameters(path: Path = PIPELINE_YAML) -> dict[str, Parameter]:
    """Reads the parameters of a compiled pipeline."""
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    order = load_steps(path)
    takers = {step: spec["components"][f"comp-{step}"].get("inputDefinitions", {}).get("parameters", {}) for step in order}
    return {
        name: Parameter(
            name=name,
            kind=definition["parameterType"],
            default=definition.get("defaultValue"),
            is_required=not definition.get("isOptional", False),
            description=definition.get("description", ""),
            steps=tuple(step for step in order if name in takers[step]),
        )
        for name, definition in spec["root"]["inputDefinitions"]["parameters"].items()
    }


def parse_arguments(words: list[str], parameters: dict[str, Parameter]) -> dict[str, Any]:
    """Parses and checks NAME=VALUE words.

    Raises:
        ValueError: If a word is not NAME=VALUE, a name is unknown (with the closest match) or repeated, or a value does not
            fit.
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            hint = f". Did you mean source={word}?" if not RULES["source"](word) else ""
            raise ValueError(f"expected NAME=VALUE. Received: {word}{hint}")
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else f" The parameters are: {', '.join(parameters)}."
            raise ValueError(f"there is no parameter {name}.{hint}")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = parameters[name].parse(text)
    check_parameters(**values)
    return values
