"""Removes old examples, trainings and evaluations from a `data_root`: `python -m pipeline prune`.

Kept are the newest ones, and whatever the champion of any model came from. Raw images are never removed: they
cannot be made again. An output that is not complete is left alone, as somebody may be working on it.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass

from components import storage
from components.artifacts.manifest import MANIFEST_NAME
from components.artifacts.parameters import check_parameters
from components.serving.champion import find_champion

_EXAMPLES, _TRAINING, _EVALUATION = "examples", "training", "evaluation"


@dataclass(frozen=True)
class Output:
    """A complete output: its place, its age, and the fingerprints of what it was made from."""

    kind: str
    fingerprint: str
    uri: str
    published_s: float
    inputs: Mapping[str, str]


def find_outputs(data_root: str) -> list[Output]:
    """All complete examples, trainings and evaluations of a `data_root`, the newest first."""
    outputs = []
    for kind in (_EXAMPLES, _TRAINING, _EVALUATION):
        for name in storage.list_names(storage.join(data_root, kind)):
            uri = storage.join(data_root, kind, name)
            manifest_uri = storage.join(uri, MANIFEST_NAME)
            if storage.exists(manifest_uri):
                inputs = json.loads(storage.read_bytes(manifest_uri))["inputs"]
                outputs.append(Output(kind, name, uri, storage.modified_s(manifest_uri), inputs))
    return sorted(outputs, key=lambda output: output.published_s, reverse=True)


def champions(serving_root: str) -> set[str]:
    """The fingerprints of the models that are served, by any name."""
    found = (find_champion(serving_root, model) for model in storage.list_names(serving_root))
    return {champion.model_fingerprint for champion in found if champion}


def choose(outputs: list[Output], served: set[str], keep: int) -> list[Output]:
    """The outputs that can go.

    Args:
        outputs: What there is, the newest first.
        served: The models whose lineage stays.
        keep: How many examples and how many trainings stay beside that.
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
    """Removes an output: its manifest first, so that it is never taken for complete while it goes."""
    storage.remove(storage.join(output.uri, MANIFEST_NAME))
    storage.remove_tree(output.uri)


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_root")
    parser.add_argument("serving_root")
    parser.add_argument("--keep", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    try:
        check_parameters(data_root=options.data_root, serving_root=options.serving_root)
        outputs = find_outputs(options.data_root)
        goes = choose(outputs, champions(options.serving_root), options.keep)
        for output in goes:
            print(f"{'would remove' if options.dry_run else 'removing'} {output.uri}")
            if not options.dry_run:
                remove(output)
    except (ValueError, OSError, KeyError) as error:
        parser.exit(1, f"{error}\n")
    print(f"{len(goes)} of {len(outputs)} outputs {'would be ' if options.dry_run else ''}removed")


if __name__ == "__main__":
    main()
