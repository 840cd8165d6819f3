"""Parses the arguments of a run on a cluster, where paths and required parameters differ from local runs."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.compiled import load_parameters, parse_arguments
from pipeline.preflight.submission import pod_path, read_submission

# The parameters that are, or may be, locations.
_PLACES = ("data_root", "serving_root", "source", "weights", "classes", "labels")


def read_arguments(words: list[str], file: Path) -> dict[str, Any]:
    """Parses NAME=VALUE words for a run on a cluster.

    Args:
        words: The words.
        file: The compiled pipeline.

    Raises:
        ValueError: If the file is not a compiled pipeline, a required parameter is missing, a path is not on a volume that all
            pods mount, or `parse_arguments` refuses the words.
    """
    try:
        parameters = load_parameters(file)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, StopIteration):
        raise ValueError(f"{file}: expected a compiled pipeline, written by python -m pipeline compile") from None
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
            f"{', '.join(nowhere)}: expected gs://... or s3://..., as each step runs in its own pod, or a folder on a volume "
            f"that all pods mount. No such volume in: {', '.join(without)}. Received: {name}={given[name]}"
        )
    return given
