"""The parameters of a run on a cluster: folders must be on a volume that the compiled pipeline mounts."""

import json
import re
from pathlib import Path

import pytest
import yaml

from pipeline.cluster_arguments import read_arguments
from pipeline.compiled import PIPELINE_YAML

MOUNTED = ["source=dir:/mnt/data/images", "data_root=/mnt/data/hpa", "serving_root=/mnt/data/models"]


def _with_volume(folder: Path, *without: str) -> Path:
    """Compiles a pipeline whose pods, except those of the steps `without`, mount a volume at /mnt/data."""
    spec, platform = yaml.safe_load_all(PIPELINE_YAML.read_text(encoding="utf-8"))
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in spec["deploymentSpec"]["executors"]:
        if name.removeprefix("exec-") not in without:
            pods.setdefault(name, {})["pvcMount"] = [{"constant": "cells", "mountPath": "/mnt/data"}]
    path = folder / "cluster.yaml"
    path.write_text("\n---\n".join(map(json.dumps, (spec, platform))))
    return path


def test_folders_on_a_volume_of_every_pod_are_accepted(tmp_path: Path) -> None:
    for words in (MOUNTED, [*MOUNTED, "labels=/mnt/data/scores.xlsx"], [*MOUNTED, "labels=scores.xlsx"]):
        assert read_arguments(words, _with_volume(tmp_path)) == dict(argument.split("=") for argument in words)


def test_a_folder_on_no_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^serving_root: expected gs://.*Received: serving_root=/mnt/database$"):
        read_arguments([*MOUNTED[:2], "serving_root=/mnt/database"], _with_volume(tmp_path))


def test_a_volume_that_one_pod_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("No such volume in: train. Received: data_root=/mnt/data/hpa")):
        read_arguments(MOUNTED, _with_volume(tmp_path, "train"))
