"""Reading a compiled pipeline for submission."""

from pathlib import Path

import pytest

from pipeline.cluster_objects import KAGGLE, S3_KEYS, S3_SETTINGS
from pipeline.compiled import PIPELINE_YAML, load_steps
from pipeline.placement import GKE_T4_NODES, GPU_RESOURCE, NUM_GPUS, RESOURCES
from pipeline.preflight.submission import ObjectUse, Step, read_submission
from tests.pipeline.conftest import MakeSubmission


def _steps(steps: tuple[Step, ...]) -> dict[str, Step]:
    return {step.name: step for step in steps}


def test_the_committed_pipeline_has_the_requests_of_placement() -> None:
    read = read_submission(PIPELINE_YAML, [])
    steps = _steps(read.steps)
    assert set(load_steps()) <= set(steps)
    for name in load_steps():
        wanted = RESOURCES[name]
        assert (steps[name].cpu, steps[name].memory) == (str(wanted.cpu), wanted.memory)
    assert steps["train"].accelerators == {GPU_RESOURCE: NUM_GPUS}
    assert steps["train"].node_selector == GKE_T4_NODES
    assert [toleration["key"] for toleration in steps["train"].tolerations] == [GPU_RESOURCE]
    assert all(not steps[name].accelerators and not steps[name].node_selector for name in load_steps() if name != "train")


def test_arguments_override_defaults(make_submission: MakeSubmission) -> None:
    read = make_submission("source=synthetic:40", 'gpu_node_selector={"gpu": "big"}')
    assert _steps(read.steps)["train"].node_selector == {"gpu": "big"}
    assert read.values["image_size_px"] == 299
    assert read.missing == ("data_root", "serving_root")


def test_images_are_named_as_on_submission() -> None:
    read = read_submission(PIPELINE_YAML, [], registry="registry.example.com/hpa", tag="2")
    assert _steps(read.steps)["train"].image == "registry.example.com/hpa/train:2"


def test_objects_volumes_and_disks_are_read(make_submission: MakeSubmission) -> None:
    mounts = [
        {"volumeName": "temporary", "mountPath": "/tmp", "sizeLimit": "30Gi"},
        {"volumeName": "shared-memory", "mountPath": "/dev/shm", "sizeLimit": "2Gi", "medium": "Memory"},
    ]
    variable = {"secretKey": "token", "envVar": "TOKEN"}
    added = {
        "imagePullSecret": [{"secretName": "registry"}],
        "secretAsEnv": [{"secretNameParameter": {"runtimeValue": {"constant": "lab"}}, "keyToEnv": [variable]}],
        "configMapAsEnv": [
            {"configMapName": "names", "keyToEnv": [{"configMapKey": "one", "envVar": "ONE"}], "optional": True}
        ],
    }
    pods = {"train": {"emptyDirMounts": mounts, "pvcMount": [{"constant": "cells", "mountPath": "/data"}]}, "push": added}
    read = make_submission(pods=pods, s3_endpoint="http://store:9000")
    steps = _steps(read.steps)
    s3 = {
        ObjectUse("Secret", S3_KEYS.name, S3_KEYS.keys, is_optional=True),
        ObjectUse("ConfigMap", S3_SETTINGS.name, S3_SETTINGS.keys, is_optional=True),
    }
    assert set(steps["ingest"].objects) == {ObjectUse("Secret", "kaggle", KAGGLE.keys, is_optional=True), *s3}
    assert set(steps["push"].objects) == {
        ObjectUse("Secret", "registry", (), is_optional=False),
        ObjectUse("Secret", "lab", ("token",), is_optional=False),
        ObjectUse("ConfigMap", "names", ("one",), is_optional=True),
        *s3,
    }
    assert read.s3_endpoint == "http://store:9000"
    assert steps["train"].disk_limits == {"/tmp": "30Gi"}
    assert steps["train"].volumes == ("/data",)


@pytest.mark.parametrize("text", ["", "a: [", "hello", "a: 1\n---\nb: 2\n", "components: {}\nroot: {}\n"])
def test_another_file_than_a_compiled_pipeline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other.yaml: expected what `python -m pipeline compile` writes"):
        read_submission(path, [])
