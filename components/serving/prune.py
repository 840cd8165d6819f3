"""Chooses and removes old examples, training runs and evaluations of a `data_root`.

The newest ones and the lineage of every champion are kept. Raw images are never removed, as they cannot be remade. Incomplete
outputs are left alone: a run may be writing them.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from components import storage
from components.artifacts.damage import without_checksum
from components.artifacts.manifest import MANIFEST_NAME
from components.serving.champion import find_champion

_EXAMPLES, _TRAINING, _EVALUATION = "examples", "training", "evaluation"
# The inputs of each kind that decide whether it can be removed.
_INPUTS: dict[str, tuple[str, ...]] = {_EXAMPLES: (), _TRAINING: ("examples",), _EVALUATION: ("examples", "model")}


@dataclass(frozen=True)
class Output:
    """A complete output: its place, its age, and the fingerprints of what it was made from."""

    kind: str
    fingerprint: str
    uri: str
    published_s: float
    inputs: Mapping[str, str]


def find_outputs(data_root: str) -> list[Output]:
    """All complete examples, training runs and evaluations of a `data_root`, the newest first.

    Raises:
        ValueError: If a manifest is damaged.
    """
    outputs = []
    for kind in (_EXAMPLES, _TRAINING, _EVALUATION):
        for name in storage.list_names(storage.join(data_root, kind)):
            uri = storage.join(data_root, kind, name)
            manifest_uri = storage.join(uri, MANIFEST_NAME)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it is incomplete, or no output
                outputs.append(Output(kind, name, uri, storage.modified_s(manifest_uri), _read_inputs(manifest_uri, kind)))
    return sorted(outputs, key=lambda output: output.published_s, reverse=True)


def _read_inputs(manifest_uri: str, kind: str) -> dict[str, str]:
    content = storage.read_bytes(manifest_uri)
    try:
        inputs = json.loads(without_checksum(content))["inputs"]
        return {name: inputs[name] for name in _INPUTS[kind]}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{manifest_uri}: expected a manifest that names its {' and '.join(_INPUTS[kind])}. Received: {content[:80]!r}. "
            "Remove its folder by hand"
        ) from None


def champions(serving_root: str) -> set[str]:
    """The fingerprints of the models that are served, by any name."""
    found = (find_champion(serving_root, model) for model in storage.list_names(serving_root))
    return {champion.model_fingerprint for champion in found if champion}


def choose(outputs: list[Output], served: set[str], keep: int) -> list[Output]:
    """The outputs to remove.

    Args:
        outputs: All outputs, the newest first.
        served: The models whose lineage is kept.
        keep: How many of the newest examples and training runs to keep as well.
    """
    trainings = [output for output in outputs if output.kind == _TRAINING]
    kept = {output.fingerprint for output in trainings[:keep]} | served
    examples = [output.fingerprint for output in outputs if output.kind == _EXAMPLES]
    needed = {output.inputs["examples"] for output in trainings if output.fingerprint in kept} | set(examples[:keep])
    stays = {
        _EXAMPLES: lambda output: output.fingerprint in needed,
        _TRAINING: lambda output: output.fingerprint in kept,
        _EVALUATION: lambda output: output.inputs["model"] in kept and output.inputs["examples"] in needed,
    }
    return [output for output in outputs if not stays[output.kind](output)]


def remove(output: Output) -> None:
    """Removes an output, its manifest first, so that it never looks complete while being removed."""
    storage.remove(storage.join(output.uri, MANIFEST_NAME))
    storage.remove_tree(output.uri)
