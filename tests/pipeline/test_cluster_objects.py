"""The environment of a step, from the compiled pipeline and the objects in a namespace."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.environment import MOUNTS, load_environment
from pipeline.cluster_objects import S3_SETTINGS, s3_keys_for
from pipeline.compiled import ROOT, compile_pipeline, load_steps

OWN_KEYS = {"AWS_ACCESS_KEY_ID": "own", "AWS_SECRET_ACCESS_KEY": "sesame"}
NAMESPACE = {
    "hpa-pipeline-s3-keys": OWN_KEYS,
    "hpa-pipeline-s3": {"AWS_ENDPOINT_URL_S3": "https://s3.lab.example.com", "AWS_REGION": "eu-west-1"},
    "mlpipeline-minio-artifact": {"accesskey": "minio", "secretkey": "minio123"},
    "hpa-pipeline-s3-push-keys": {"AWS_ACCESS_KEY_ID": "push", "AWS_SECRET_ACCESS_KEY": "open"},
    "kaggle": {"KAGGLE_API_TOKEN": "token"},
}
# The variables that Amazon's webhook sets in the pods of a service account with a role.
WEB_IDENTITY = {
    "AWS_REGION": "us-east-1",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/cells",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
}
STORE = "https://s3.example.com"
KFP_STORE = "http://seaweedfs.kubeflow:9000"
KFP_KEYS = {"AWS_ACCESS_KEY_ID": "minio", "AWS_SECRET_ACCESS_KEY": "minio123"}


def _environment(step: str, documents: list[Any], present: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The AWS and Kaggle variables of a step in a pod with the compiled pipeline's settings."""
    spec, platform = documents
    container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
    pod = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{step}"]
    volumes = [(v["secretName"], v) for v in pod["secretAsVolume"]] + [
        (v["configMapName"], v) for v in pod["configMapAsVolume"]
    ]
    for name, volume in volumes:
        mounted = folder / Path(volume["mountPath"]).relative_to(MOUNTS)
        mounted.mkdir()
        assert volume["optional"]
        for key, value in NAMESPACE[name].items() if name in present else ():
            (mounted / key).write_text(value)
    variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", WEB_IDENTITY | variables)
        load_environment(folder)
        return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "KAGGLE_"))}


@pytest.mark.parametrize(
    ("endpoint", "region", "present", "expected"),
    [
        ("", "", set(), {}),
        (STORE, "", set(), {"AWS_ENDPOINT_URL_S3": STORE}),
        ("", "eu-north-1", set(), {"AWS_REGION": "eu-north-1"}),
        ("", "", {"hpa-pipeline-s3", "mlpipeline-minio-artifact"}, NAMESPACE["hpa-pipeline-s3"]),
        ("", "", {"hpa-pipeline-s3-keys", "mlpipeline-minio-artifact"}, OWN_KEYS),
        (STORE, "", {"hpa-pipeline-s3"}, {"AWS_ENDPOINT_URL_S3": STORE, "AWS_REGION": "eu-west-1"}),
        (
            KFP_STORE,
            "",
            {"hpa-pipeline-s3-keys", "mlpipeline-minio-artifact"},
            {"AWS_ENDPOINT_URL_S3": KFP_STORE, **KFP_KEYS},
        ),
    ],
)
def test_a_step_has_the_keys_and_settings_of_its_store_or_web_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, region: str, present: set[str], expected: dict[str, str]
) -> None:
    documents = list(yaml.safe_load_all(compile_pipeline(s3_endpoint=endpoint, s3_region=region)))
    for step in load_steps():
        folder = tmp_path / step
        folder.mkdir()
        assert _environment(step, documents, present, folder, monkeypatch) == WEB_IDENTITY | expected


@pytest.mark.parametrize(("endpoint", "others"), [("", OWN_KEYS), (KFP_STORE, KFP_KEYS)])
def test_only_push_has_its_own_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, others: dict[str, str]
) -> None:
    documents = list(yaml.safe_load_all(compile_pipeline(s3_endpoint=endpoint, push_has_keys=True)))
    for step in load_steps():
        folder = tmp_path / step
        folder.mkdir()
        found = _environment(step, documents, set(NAMESPACE), folder, monkeypatch)
        keys = NAMESPACE["hpa-pipeline-s3-push-keys"] if step == "push" else others
        assert {name: found[name] for name in keys} == keys


def test_only_ingest_has_kaggles_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = list(yaml.safe_load_all(compile_pipeline()))
    for step in load_steps():
        folder = tmp_path / step
        folder.mkdir()
        found = _environment(step, documents, {"kaggle"}, folder, monkeypatch)
        assert found == WEB_IDENTITY | (NAMESPACE["kaggle"] if step == "ingest" else {})


@pytest.mark.parametrize(
    ("endpoint", "is_kubeflows"),
    [
        (KFP_STORE, True),
        ("http://minio-service.kubeflow.svc.cluster.local:9000/", True),
        ("https://seaweedfs.kubeflow.svc:9000", True),
        ("", False),
        (STORE, False),
        ("http://seaweedfs.kubeflow.example.com:9000", False),
        ("http://seaweedfs.other:9000", False),
        ("http://seaweedfs.kubeflow:80", False),
    ],
)
def test_kubeflows_own_keys_are_only_for_its_own_store(endpoint: str, is_kubeflows: bool) -> None:
    assert (s3_keys_for(endpoint).name == "mlpipeline-minio-artifact") is is_kubeflows


def test_preflights_reader_may_read_the_config_maps_and_no_secret() -> None:
    manifests = yaml.safe_load_all((ROOT / "deploy" / "preflight-reader.yaml").read_text(encoding="utf-8"))
    rules = [rule for manifest in manifests for rule in manifest.get("rules", ())]
    allowed = {(rule["resources"][0], name) for rule in rules for name in rule.get("resourceNames", ())}
    assert allowed == {("configmaps", S3_SETTINGS.name), ("configmaps", "workflow-controller-configmap")}
    (secrets,) = (rule for rule in rules if "secrets" in rule["resources"])
    assert secrets["verbs"] == ["create", "preflight"]  # only as a dry run: see tests/kubernetes
