"""What a run on a cluster is given: its parameters, which are not those of a run on this machine."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.compiled import load_parameters, parse_arguments
from pipeline.preflight.submission import pod_path, read_submission

# The parameters that are places, or may be.
_PLACES = ("data_root", "serving_root", "source", "weights", "classes", "labels")


def read_arguments(words: list[str], file: Path) -> dict[str, Any]:
    """Reads NAME=VALUE words as a run on a cluster needs them.

    Args:
        words: The words.
        file: The compiled pipeline.

    Raises:
        ValueError: If the file is no compiled pipeline, or if no run could use the words: a required parameter is missing, a
            path is on no volume that all pods mount, or as `parse_arguments` says.
    """
    try:
        parameters = load_parameters(file)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, StopIteration):
        raise ValueError(f"{file}: expected a compiled pipeline, as python -m pipeline compile writes it") from None
    given = parse_arguments(words, parameters)
    missing = [name for name, parameter in parameters.items() if parameter.is_required and name not in given]
    if missing:
        raise ValueError(f"required: {', '.join(f'{name}=...' for name in missing)}")
    folders = {name: path for name in _PLACES if (path := pod_path(name, given.get(name, "")))}
    submission = read_submission(file, words) if folders else None
    nowhere = {
        name: without for name, folder in folders.items() if submission and (without := submission.steps_without(folder))
    }
    if nowhere:
        name, without = next(iter(nowhere.items()))
        raise ValueError(
            f"{', '.join(nowhere)}: expected gs://..., as each step runs in a pod of its own, or a folder on a volume that all "
            f"of them mount. No volume is there in: {', '.join(without)}. Received: {name}={given[name]}"
        )
    return given
