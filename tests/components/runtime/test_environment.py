"""The environment of a step, from the folders in which Kubernetes mounts Secrets and ConfigMaps."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from components.runtime.environment import load_environment

WEB_IDENTITY = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/cells", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}
Load = Callable[..., dict[str, str]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Returns the environment of a step whose pod has the variables `pod` and the mounted objects `mounted`."""

    def make(mounted: dict[str, dict[str, str | bytes]], **pod: str) -> dict[str, str]:
        for name, data in mounted.items():
            # As the kubelet does: each key is a link into a folder that changes as a whole.
            versioned = tmp_path / name / "..2026_11_28"
            versioned.mkdir(parents=True)
            (tmp_path / name / "..data").symlink_to(versioned.name)
            for key, value in data.items():
                (versioned / key).write_bytes(value if isinstance(value, bytes) else value.encode())
                (tmp_path / name / key).symlink_to(f"..data/{key}")
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", dict(pod))
            load_environment(tmp_path)
            return dict(os.environ)

    return make


def test_keys_of_mounted_objects_become_variables(load: Load) -> None:
    secret = {"AWS_ACCESS_KEY_ID": "cells\n", "AWS_SECRET_ACCESS_KEY": "sesame"}
    settings = {"AWS_ENDPOINT_URL_S3": "http://store:9000", "AWS_REGION": "eu-west-1"}
    found = load({"hpa-pipeline-s3-keys": secret, "hpa-pipeline-s3": settings, "kaggle": {"KAGGLE_API_TOKEN": "token"}})
    assert found == secret | settings | {"AWS_ACCESS_KEY_ID": "cells", "KAGGLE_API_TOKEN": "token"}


def test_absent_objects_set_nothing_and_leave_web_identity(load: Load) -> None:
    assert load({}, **WEB_IDENTITY) == WEB_IDENTITY


def test_empty_and_foreign_keys_set_nothing(load: Load) -> None:
    assert load({"hpa-pipeline-s3-keys": {"AWS_ACCESS_KEY_ID": "", "LD_PRELOAD": "x.so", "ca.p12": b"\xff"}}) == {}


def test_kubeflows_own_keys_get_the_names_of_variables(load: Load) -> None:
    found = load({"mlpipeline-minio-artifact": {"accesskey": "minio", "secretkey": "minio123"}})
    assert found == {"AWS_ACCESS_KEY_ID": "minio", "AWS_SECRET_ACCESS_KEY": "minio123"}


def test_compiled_settings_win_over_files_and_files_over_the_pods_own(load: Load) -> None:
    settings = {"AWS_ENDPOINT_URL_S3": "http://file:9000", "AWS_REGION": "eu-west-1"}
    found = load({"hpa-pipeline-s3": settings}, HPA_AWS_ENDPOINT_URL_S3="http://compiled:9000", AWS_REGION="us-east-1")
    assert (found["AWS_ENDPOINT_URL_S3"], found["AWS_REGION"]) == ("http://compiled:9000", "eu-west-1")
